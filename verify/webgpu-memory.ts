/**
 * Memory over the steps of training on WebGPU: of the process, of what grows in it, and on the device. After a warm-up, in which
 * the driver's threads and buffers get as large as they become, it must stay as it is: from the last quarter's beginning to its end
 * by 2 MiB.
 *
 *     npx esbuild verify/webgpu-memory.ts --bundle --platform=node --format=esm --target=node20 --packages=external \
 *         --outfile=verify/webgpu-memory.mjs
 *     node --expose-gc verify/webgpu-memory.mjs [--steps 800]
 *
 * verify/webgpu-memory.txt has recorded runs.
 */
import { parseArgs } from 'node:util';
import { initializeWeights } from '../src/families/initialize.ts';
import { findPreset } from '../src/families/registry.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { createDeviceOptimizer } from '../src/training/on-device/create-device-optimizer.ts';
import { DeviceLearner } from '../src/training/on-device/device-learner.ts';

const { values: flags } = parseArgs({ options: { steps: { type: 'string', default: '800' } } });
const steps = Number(flags.steps);
const VOCAB = 67;
const SEQ = 6;
const { family, preset } = findPreset('llama/tiny')!;
const model = family.build({ ...preset.config, vocab_size: VOCAB, num_hidden_layers: 1 } as never);
const engine = nodeEngine({ provider: 'webgpu', threads: 1 });
const learner = await DeviceLearner.create(
  engine,
  model,
  { batch: 1, seq: SEQ },
  { gradients: 'kept', activations: 'kept' },
);
await learner.fill((values) => initializeWeights(model.parameters(), values, new Random(1)));
const { memory, parameters, updates } = learner.onDevice;
const optimizer = await createDeviceOptimizer(engine, memory, 'adamw', parameters);
await optimizer.prepare(updates);
const random = new Random(3);
const ids = () => Int32Array.from({ length: SEQ }, () => random.nextInt(VOCAB));

const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
const all: { readonly step: number; readonly rss: number }[] = [];
console.log('step: process | V8 heap | outside it | on the device, MiB');
for (let step = 1; step <= steps; step++) {
  await learner.step([{ inputs: ids(), targets: ids() }], { optimizer, learningRate: 1e-3, clip: 1 });
  if (step !== 1 && step % Math.ceil(steps / 16) !== 0) continue;
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  all.push({ step, rss });
  const shown = [rss, heapUsed, external, memory.byteLength].map(mebibytes);
  console.log(`${step}: ${shown.join(' | ')}`);
}
await optimizer.release();
await learner.release();
const last = all.filter(({ step }) => step >= 0.75 * steps);
const grown = last.at(-1)!.rss - last[0]!.rss;
const isFlat = grown <= 2 * 2 ** 20;
console.log(`${mebibytes(grown)} MiB in the last quarter: ${isFlat ? 'flat' : 'it grows'}`);
process.exitCode = isFlat ? 0 : 1;
