/**
 * Training on WebGPU in Chromium beside training on WebAssembly there, by family and memory mode: AdamW and clipping. Losses must
 * agree within 1e-4, and the weights afterwards within 1e-3 of their norm; a step sends ids and masks and at most 1 kB more; a
 * resumed run has the same bits.
 *
 *     npx esbuild verify/webgpu-browser.ts --bundle --platform=node --format=esm --target=node20 --packages=external \
 *         --outfile=verify/webgpu-browser.mjs
 *     node verify/webgpu-browser.mjs [--steps 50] [--only llama,gemma2] [--modes fast,recompute,light]
 *
 * WebGPU is computed in software (SwiftShader), where a family takes minutes. verify/webgpu-browser.txt has a recorded run.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { familyNames } from '../src/families/registry.ts';
import type { MemoryMode } from '../src/training/create-learner.ts';
import { findChromium, openPage } from '../test/helpers/browser.node.ts';
import type { BrowserPage } from '../test/helpers/browser-page.ts';

const { values: flags } = parseArgs({
  options: {
    steps: { type: 'string', default: '50' },
    only: { type: 'string' },
    modes: { type: 'string', default: 'fast' },
  },
});
const chromium = findChromium();
if (!chromium) throw new Error('no Chromium is installed; CHROMIUM_PATH can name one');
const { outputFiles } = await build({
  entryPoints: [join(dirname(fileURLToPath(import.meta.url)), '../test/helpers/browser-page.ts')],
  external: ['onnxruntime-web/wasm', 'onnxruntime-web/webgpu'],
  ...{ bundle: true, platform: 'browser', format: 'esm', target: 'es2023', write: false },
});
const { page, complaints, close } = await openPage(chromium, outputFiles[0]!.text, { webgpu: true });
await page.waitForFunction(() => 'ropewalk' in globalThis, undefined, { timeout: 180_000 });
console.log('family, mode: loss | norm | weights | bytes beyond ids | resumed, refused');
let failed = 0;
const families = flags.only?.split(',') ?? familyNames().split(', ');
const modes = flags.modes.split(',') as MemoryMode[];
for (const [name, memory] of families.flatMap((each) => modes.map((mode) => [each, mode] as const))) {
  const started = performance.now();
  const found = await page.evaluate(
    ([preset, memory, steps]) =>
      (globalThis as unknown as { ropewalk: BrowserPage }).ropewalk.trainBeside(
        { preset, memory, accumulate: 1 },
        steps,
      ),
    [`${name}/tiny`, memory, Number(flags.steps)] as const,
  );
  const number = (check: string) => found[check] as number;
  const good =
    Math.max(number('loss'), number('held-out loss')) <= 1e-4 &&
    number('weights') <= 1e-3 &&
    number('bytes beyond ids and masks') <= 1024 &&
    number('memory') === 1 &&
    found.resumed === true &&
    found.refused === true;
  if (!good) failed++;
  const shown = [
    ...['loss', 'norm', 'weights'].map((check) => number(check).toExponential(1)),
    number('bytes beyond ids and masks'),
    `${found.resumed}, ${found.refused}`,
  ];
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`${good ? 'ok  ' : 'BAD '} ${name}/tiny, ${memory}: ${shown.join(' | ')} (${seconds} s)`);
}
await close();
for (const complaint of complaints) console.log(complaint);
if (failed > 0 || complaints.length > 0) process.exitCode = 1;
