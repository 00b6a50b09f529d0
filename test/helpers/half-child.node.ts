/*
 * Float16 on WebGPU: `node child.js [<case>:<memory mode> …]`. In a process of its own, since a graphics driver that crashes takes
 * its process with it. Prints one line of JSON for each check: {check, value}; the first is whether the device has float16.
 */
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { halfProducts } from '../../src/graph/half-products.ts';
import { input, matmul } from '../../src/graph/operators/index.ts';
import { Random } from '../../src/random.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import { Executable } from '../../src/runtime/executable.ts';
import { needHalf } from '../../src/runtime/half.ts';
import type { MemoryMode } from '../../src/training/create-learner.ts';
import { halfCurve } from './half-curve.node.ts';
import { norm } from './numbers.ts';
import { referenceErrors } from './reference-errors.node.ts';

const report = (check: string, value: unknown) => writeSync(1, `${JSON.stringify({ check, value })}\n`);
const engine = nodeEngine({ provider: 'webgpu', precision: 'float16', threads: 1 });
const has = await needHalf(engine).then(
  () => true,
  (error: unknown) => String(error),
);
report('float16', has);
if (has === true) await longSums();
for (const each of has === true ? process.argv.slice(2) : []) {
  const [name, memory] = each.split(':') as [string, MemoryMode | undefined];
  const path = fileURLToPath(new URL(`../reference/${name}`, import.meta.url));
  if (memory) await halfCurve(engine, path, memory, (check, value) => report(`${each}: ${check}`, value));
  else {
    const { full, cached } = await referenceErrors(engine, path);
    report(`${name}: logits`, full);
    report(`${name}: logits with a cache`, cached);
  }
}

/** Products of more terms than are added up in float16. */
async function longSums(): Promise<void> {
  const [rows, columns, terms] = [8, 16, 8192];
  const a = input('a', 'float32', [rows, terms]);
  const b = input('b', 'float32', [columns, terms]);
  const [y] = halfProducts([matmul(a, b, { transB: true })], 'webgpu');
  const executable = await Executable.compile(engine, new Map([['y', y!]]), { onDeviceOnly: true });
  const run = async (make: () => number) => {
    const [x, z] = [rows, columns].map((size) => Float32Array.from({ length: size * terms }, make)) as [
      Float32Array,
      Float32Array,
    ];
    const feeds = { a: { data: x, shape: [rows, terms] }, b: { data: z, shape: [columns, terms] } };
    const { data } = (await executable.run(feeds)).y!;
    const exact = Float64Array.from({ length: rows * columns }, (_, i) => {
      const [row, column] = [Math.floor(i / columns) * terms, (i % columns) * terms];
      let sum = 0;
      for (let k = 0; k < terms; k++) sum += x[row + k]! * z[column + k]!;
      return sum;
    });
    return { data: data as Float32Array, exact };
  };
  report('sum of 8192 ones', (await run(() => 1)).data[0]);
  const random = new Random(5);
  const { data, exact } = await run(() => random.nextGaussian());
  report('product of 8192 terms', norm(exact.map((value, i) => data[i]! - value)) / norm(exact));
  await executable.release();
}
