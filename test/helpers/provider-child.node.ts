/*
 * Runs reference cases on a device of a provider library: `node child.js <device> <precision> <case>…`. In a process of
 * its own, since a driver that crashes takes its process with it. Prints a line of JSON for each case.
 */
import { writeSync } from 'node:fs';
import type { Precision } from '../../src/runtime/devices.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import { quantizedErrors, referenceErrors } from './reference-errors.node.ts';

const [device, precision, ...cases] = process.argv.slice(2);
const engine = nodeEngine({ provider: device!, precision: precision as Precision, threads: 1 });
for (const name of cases) {
  const errors = await referenceErrors(engine, name);
  writeSync(1, `${JSON.stringify({ case: name, ...errors })}\n`);
}
writeSync(1, `${JSON.stringify({ case: 'quantized', ...(await quantizedErrors(engine, 'llama')) })}\n`);
