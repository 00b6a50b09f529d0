/*
 * Compiles and runs every pass of training on WebGPU with the engine's own log on standard error. Prints how many passes were
 * compiled, as a line of JSON.
 */
import { writeSync } from 'node:fs';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { createDeviceOptimizer } from '../../src/training/on-device/create-device-optimizer.ts';
import { compareTraining, type TrainingCase } from './training-beside.ts';

const CASES: readonly TrainingCase[] = [
  { preset: 'llama/tiny', memory: 'fast', accumulate: 2, tableBytes: 6000 },
  { preset: 'gemma2/tiny', memory: 'recompute', accumulate: 1, packed: true },
  { preset: 'gpt/tiny', memory: 'light', accumulate: 1 },
];

const plain = nodeEngine({ provider: 'webgpu', threads: 1 });
let compiled = 0;
const logging: Engine = {
  ...plain,
  runtime: {
    ...plain.runtime,
    InferenceSession: {
      create: (model, options, ...others) => {
        compiled++;
        return plain.runtime.InferenceSession.create(model, { ...options, logSeverityLevel: 0 }, ...others);
      },
    },
  },
};
const cpu = nodeEngine({ threads: 1 });
for (const each of CASES) await compareTraining({ cpu, device: logging }, each, 2, () => {});

// The other optimizers.
const memory = await logging.openMemory!();
for (const kind of ['sgd', 'adafactor'] as const) {
  const parameters = [[6, 4], [4]].map((shape, i) => {
    const made = () => [memory.allocate('float32', shape)];
    return { name: `weight${i}`, shape, value: made(), gradient: made() };
  });
  const optimizer = await createDeviceOptimizer(logging, memory, kind, parameters);
  await optimizer.prepare();
  const names = parameters.map(({ name }) => name);
  const { scale } = optimizer.measure(names, 1);
  optimizer.update(names, { learningRate: 1e-3, scale });
  await optimizer.release();
}
await memory.release();
writeSync(1, `${JSON.stringify({ compiled })}\n`);
