/**
 * Training on WebGPU beside training on the CPU, for every family in every memory mode: 50 steps of AdamW with two
 * micro-batches (one in `light`) and clipping. Losses must agree within 1e-4, and the weights afterwards within 1e-3 of
 * their norm; a step sends ids and masks and at most 1 kB more; a resumed run has the same bits.
 *
 *     npx esbuild verify/webgpu-training.ts --bundle --platform=node --format=esm --target=node20 --packages=external \
 *         --outfile=verify/webgpu-training.mjs
 *     node verify/webgpu-training.mjs [--steps 50] [--only llama,gemma2] [--modes fast,recompute,light]
 *
 * verify/webgpu-training.txt has a recorded run. In software (SwiftShader) a case takes minutes.
 */
import { parseArgs } from 'node:util';
import { familyNames, findPreset } from '../src/families/registry.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import type { MemoryMode } from '../src/training/create-learner.ts';
import { compareTraining } from '../test/helpers/training-beside.ts';

const { values: flags } = parseArgs({
  options: {
    steps: { type: 'string', default: '50' },
    only: { type: 'string' },
    modes: { type: 'string', default: 'fast,recompute,light' },
  },
});
const names = flags.only?.split(',') ?? familyNames().split(', ');
const cpu = nodeEngine({ threads: 1 });
const device = nodeEngine({ provider: 'webgpu', threads: 1 });
console.log('family, mode: loss | norm | weights | bytes beyond ids | memory / plan | resumed, refused');
let failed = 0;
for (const name of names) {
  const preset = `${name}/tiny`;
  if (!findPreset(preset)) continue;
  for (const memory of flags.modes.split(',') as MemoryMode[]) {
    const checks = new Map<string, number | boolean>();
    const started = performance.now();
    try {
      const each = { preset, memory, accumulate: memory === 'light' ? 1 : 2 };
      await compareTraining({ cpu, device }, each, Number(flags.steps), (check, value) =>
        checks.set(check.replace(/^.*: /, ''), value),
      );
    } catch (error) {
      failed++;
      console.log(`${preset}, ${memory}: FAILED: ${String(error)}`);
      continue;
    }
    const number = (check: string) => checks.get(check) as number;
    const good =
      number('loss') <= 1e-4 &&
      number('held-out loss') <= 1e-4 &&
      number('weights') <= 1e-3 &&
      number('bytes beyond ids and masks') <= 1024 &&
      number('memory') === 1 &&
      checks.get('resumed') === true &&
      checks.get('refused') === true;
    if (!good) failed++;
    const shown = [
      ...['loss', 'norm', 'weights'].map((check) => number(check).toExponential(1)),
      number('bytes beyond ids and masks'),
      number('planned memory').toFixed(3),
      `${checks.get('resumed')}, ${checks.get('refused')}`,
    ];
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    console.log(`${good ? 'ok  ' : 'BAD '} ${preset}, ${memory}: ${shown.join(' | ')} (${seconds} s)`);
  }
}
console.log(failed === 0 ? 'all within bounds' : `${failed} outside bounds`);
process.exitCode = failed === 0 ? 0 : 1;
