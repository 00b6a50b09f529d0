/**
 * Float16 on WebGPU for every family: logits beside transformers', and 50 steps of training in every memory mode beside PyTorch's
 * float32 (in `light`, whose clipping is another, beside Ropewalk's on the CPU). PyTorch's own distance under `torch.autocast` is shown
 * beside it (test/reference/make_half.py). Needs an adapter with float16:
 *
 *     VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/lvp_icd.json node scripts/run-ts.js verify/half.ts [--only llama,gemma2]
 *
 * verify/half.txt has a recorded run.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { MEMORY_MODES } from '../src/training/create-learner.ts';
import { halfCurve } from '../test/helpers/half-curve.node.ts';
import { referenceErrors } from '../test/helpers/reference-errors.node.ts';

const { values: flags } = parseArgs({ options: { only: { type: 'string' } } });
const folder = fileURLToPath(new URL('../test/reference/', import.meta.url));
const { curves } = JSON.parse(readFileSync(`${folder}half.json`, 'utf8')) as {
  curves: Record<string, { float16: number; bfloat16: number }>;
};
const engine = nodeEngine({ provider: 'webgpu', precision: 'float16', threads: 1 });
const short = (value: unknown) => (value as number).toExponential(1);
let failed = 0;
const show = (good: boolean, text: string) => {
  if (!good) failed++;
  console.log(`${good ? 'ok ' : 'BAD'} ${text}`);
};
console.log(
  'family, mode: loss | norm | weights | resumed, skips, recovers || PyTorch float16, bfloat16: loss',
);
for (const name of flags.only?.split(',') ?? Object.keys(curves)) {
  const { full, cached } = await referenceErrors(engine, `${folder}${name}`);
  show(
    Math.max(full, cached) <= 0.01,
    `${name}, logits: ${short(full)}, with a cache ${short(cached)} of the largest`,
  );
  for (const memory of MEMORY_MODES) {
    const checks = new Map<string, unknown>();
    await halfCurve(engine, `${folder}${name}`, memory, (check, value) => checks.set(check, value));
    const [loss, norm, weights] = ['loss', 'norm', 'weights'].map((check) => checks.get(check) as number);
    const states = ['resumed', 'skips', 'recovers'].map((check) => checks.get(check));
    const good = loss! <= 0.01 && norm! <= 0.02 && weights! <= 0.005 && checks.get('skipped') === 0;
    const { float16, bfloat16 } = curves[name]!;
    const measured = [loss, norm, weights].map(short).join(' | ');
    const theirs = `${short(float16)}, ${short(bfloat16)}`;
    show(
      good && states.every((state) => state === true),
      `${name}, ${memory}: ${measured} | ${states.join(', ')} || ${theirs}`,
    );
  }
}
console.log(failed === 0 ? 'all within bounds' : `${failed} outside bounds`);
process.exitCode = failed === 0 ? 0 : 1;
