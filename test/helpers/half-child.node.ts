/*
 * Float16 on WebGPU: `node child.js [<case>:<memory mode> …]`. In a process of its own, since a graphics driver that crashes takes
 * its process with it. Prints one line of JSON for each check: {check, value}; the first is whether the device has float16.
 */
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import { needHalf } from '../../src/runtime/half.ts';
import type { MemoryMode } from '../../src/training/create-learner.ts';
import { halfCurve } from './half-curve.node.ts';
import { referenceErrors } from './reference-errors.node.ts';

const report = (check: string, value: unknown) => writeSync(1, `${JSON.stringify({ check, value })}\n`);
const engine = nodeEngine({ provider: 'webgpu', precision: 'float16', threads: 1 });
const has = await needHalf(engine).then(
  () => true,
  (error: unknown) => String(error),
);
report('float16', has);
for (const each of has === true ? process.argv.slice(2) : []) {
  const [name, memory] = each.split(':') as [string, MemoryMode | undefined];
  if (memory) await halfCurve(engine, name, memory, (check, value) => report(`${each}: ${check}`, value));
  else {
    const path = fileURLToPath(new URL(`../reference/${name}`, import.meta.url));
    const { full, cached } = await referenceErrors(engine, path);
    report(`${name}: logits`, full);
    report(`${name}: logits with a cache`, cached);
  }
}
