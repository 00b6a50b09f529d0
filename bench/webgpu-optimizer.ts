/*
 * The optimizers on a graphics card, beside what its memory allows: milliseconds of a step, of its norm, and of the calls
 * alone, for SmolLM2-135M's weights.
 *
 *   npx esbuild bench/webgpu-optimizer.ts --bundle --platform=node --format=esm --packages=external --outfile=webgpu-optimizer.mjs
 *   node webgpu-optimizer.mjs [layers, default 30] [steps, default 20] [width, default 576]
 */
import { sizeOf } from '../src/graph/dims.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { createDeviceOptimizer } from '../src/training/on-device/create-device-optimizer.ts';
import type { OptimizerKind } from '../src/training/optimizers/create-optimizer.ts';

const [layers = 30, steps = 20, width = 576] = process.argv.slice(2).map(Number);

function shapes(): [string, readonly number[]][] {
  const inner = (width / 3) * 8;
  const keys = width / 3;
  const layer: readonly (readonly number[])[] = [
    [width],
    [width, width],
    [keys, width],
    [keys, width],
    [width, width],
    [width],
    [inner, width],
    [inner, width],
    [width, inner],
  ];
  const all = Array.from({ length: layers }, (_, i) =>
    layer.map((shape, j): [string, readonly number[]] => [`layer ${i}.${j}`, shape]),
  ).flat();
  return [['embedding', [49152, width]], ...all, ['norm', [width]]];
}

/** Bytes that a step reads and writes at least, for each weight. */
const BYTES: Readonly<Record<string, number>> = { adamw: 28, sgd: 12, adafactor: 12 };

const engine = nodeEngine({ provider: 'webgpu', threads: 1 });
const memory = await engine.openMemory!();
const parameters = shapes().map(([name, shape]) => {
  const tensor = () => {
    const made = memory.allocate('float32', shape);
    memory.write(made, new Float32Array(sizeOf(shape) as number).fill(0.01));
    return made;
  };
  return { name, shape, value: [tensor()], gradient: [tensor()] };
});
const names = parameters.map(({ name }) => name);
const weights = parameters.reduce((sum, { shape }) => sum + (sizeOf(shape) as number), 0);
console.log(`${parameters.length} tensors, ${(weights / 1e6).toFixed(1)}M weights, ${steps} steps`);
for (const kind of (process.env.OPTIMIZERS ?? 'adamw,sgd').split(',') as OptimizerKind[]) {
  const optimizer = await createDeviceOptimizer(engine, memory, kind, parameters, {});
  await optimizer.prepare();
  const norm = new Float32Array(1);
  const run = (update: boolean) => {
    const started = performance.now();
    const measured = optimizer.measure(names, 1);
    if (update) optimizer.update(names, { learningRate: 1e-4, scale: measured.scale });
    const called = performance.now() - started;
    memory.read(measured.norm, norm);
    return { called, total: performance.now() - started };
  };
  for (const update of [false, true]) {
    for (let i = 0; i < 3; i++) run(update);
    const times = Array.from({ length: steps }, () => run(update));
    const median = (of: (time: { called: number; total: number }) => number) =>
      times.map(of).sort((a, b) => a - b)[steps >> 1]!;
    const total = median(({ total }) => total);
    const bytes = (update ? BYTES[kind]! + 4 : 4) * weights;
    console.log(
      `${kind} ${update ? 'norm and update' : 'norm'}: ${total.toFixed(2)} ms (${((100e6 / weights) * total).toFixed(2)} ms per 100M weights), ` +
        `calls ${median(({ called }) => called).toFixed(2)} ms, ${(bytes / total / 1e6).toFixed(0)} GB/s of what must be read and written`,
    );
  }
  await optimizer.release();
}
await memory.release();
