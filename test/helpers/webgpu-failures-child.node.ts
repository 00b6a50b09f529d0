/*
 * What a device cannot do, noticed where it happens: `node child.js`. In a process of its own, since a graphics driver that
 * crashes takes its process with it. Prints one line of JSON for each check: {check, value}.
 */
import { writeSync } from 'node:fs';
import { findPreset } from '../../src/families/registry.ts';
import { add, broadcastTo, input, mul, reduceSum, scalar } from '../../src/graph/operators/index.ts';
import { DeviceError } from '../../src/runtime/device-errors.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import { Executable } from '../../src/runtime/executable.ts';
import { DeviceLearner } from '../../src/training/on-device/device-learner.ts';

const report = (check: string, value: unknown) => writeSync(1, `${JSON.stringify({ check, value })}\n`);

/** What went wrong, and where it was noticed. */
async function reportError(check: string, work: () => unknown): Promise<void> {
  try {
    await work();
    report(check, 'nothing');
  } catch (error) {
    report(check, error instanceof DeviceError ? `${error.problem}: ${error.message}` : String(error));
  }
}

const engine = nodeEngine({ provider: 'webgpu', threads: 1 });
const { bufferBytes } = await engine.limits!();

// The sum of 2x + 1 over all elements, with values between that the device has room for, or has not.
const COLUMNS = 4096;
async function sumOver(bytes: number) {
  const rows = bytes / 4 / COLUMNS;
  const wide = mul(broadcastTo(input('x', 'float32', [rows, 1]), [rows, COLUMNS]), scalar(2));
  const graph = new Map([['y', reduceSum(add(wide, scalar(1)), [0, 1])]]);
  return { rows, pass: await Executable.compile(engine, graph) };
}
const tooLarge = await sumOver(2 * bufferBytes!);
const small = await sumOver(2 ** 20);
const memory = await engine.openMemory!();

async function bound({ rows, pass }: typeof small): Promise<number> {
  const x = memory.allocate('float32', [rows, 1]);
  const y = memory.allocate('float32', [1, 1]);
  memory.write(x, new Float32Array(rows).fill(3));
  const binding = pass.bind({ x }, { y });
  try {
    binding.run();
    const sum = new Float32Array(1);
    memory.read(y, sum);
    return sum[0]!;
  } finally {
    binding.release();
  }
}

async function run({ rows, pass }: typeof small): Promise<number> {
  const { y } = await pass.run({ x: { data: new Float32Array(rows).fill(3), shape: [rows, 1] } });
  return y!.data[0] as number;
}

await reportError('a value within a bound run', () => bound(tooLarge));
await reportError('a value within a run', () => run(tooLarge));
// The engine keeps buffers, those that could not be made as well.
await reportError('a value within a run, again', () => run(tooLarge));
report('right after those', [await bound(small), await run(small)]);

await reportError('a value within a step', async () => {
  const { family, preset } = findPreset('llama/tiny')!;
  const shape = { batch: 64, seq: 64 };
  // What each token has within a layer, for all tokens, is larger than a buffer.
  const intermediate_size = (2 * bufferBytes!) / 4 / (shape.batch * shape.seq);
  const config = { ...preset.config, vocab_size: 67, num_hidden_layers: 1, intermediate_size };
  const model = family.build(config as never);
  const learner = await DeviceLearner.create(engine, model, shape, {
    ...{ gradients: 'as you go', activations: 'recomputed' },
  });
  const ids = new Int32Array(shape.batch * shape.seq);
  await learner.evaluate([{ inputs: ids, targets: ids }]);
});
await memory.release();
