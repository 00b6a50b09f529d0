/*
 * Training on WebGPU beside training on the CPU: `node child.js [steps]`. In a process of its own, since a graphics driver
 * that crashes takes its process with it. Prints one line of JSON for each check: {check, value}.
 */
import { writeSync } from 'node:fs';
import { RopewalkError } from '../../src/errors.ts';
import { input, mul, scalar } from '../../src/graph/operators/index.ts';
import { apply, type None, type Operator } from '../../src/graph/tensor.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { Executable } from '../../src/runtime/executable.ts';
import { compareTraining, type TrainingCase } from './training-beside.ts';

const CASES: readonly TrainingCase[] = [
  { preset: 'llama/tiny', memory: 'fast', accumulate: 2 },
  // Three parts.
  { preset: 'llama/tiny', memory: 'light', accumulate: 1, tableBytes: 6000 },
  { preset: 'gemma2/tiny', memory: 'recompute', accumulate: 1, packed: true },
  { preset: 'gpt/tiny', memory: 'light', accumulate: 1 },
];

const report = (check: string, value: unknown) => writeSync(1, `${JSON.stringify({ check, value })}\n`);
const steps = Number(process.argv[2] ?? 3);
const engine = nodeEngine({ provider: 'webgpu', threads: 1 });
const cpu = nodeEngine({ threads: 1 });

await checkEverything(engine);
await refusesTooMuch(engine);
await refusesTheProcessor(engine);
for (const each of CASES) await compareTraining({ cpu, device: engine }, each, steps, report);

/** The device checks every call: an operator that reads and writes one buffer is an error. The first session decides. */
async function checkEverything({ runtime }: Engine): Promise<void> {
  const full: Engine = {
    ...engine,
    runtime: {
      ...runtime,
      InferenceSession: {
        create: (model, options) =>
          runtime.InferenceSession.create(model, {
            ...options,
            extra: { ...options?.extra, ep: { webgpuexecutionprovider: { validationMode: 'full' } } },
          }),
      },
    },
  };
  const pass = await Executable.compile(full, new Map([['y', mul(input('x', 'float32', [4]), scalar(2))]]));
  const memory = await full.openMemory!();
  const x = memory.allocate('float32', [4]);
  const binding = pass.bind({ x }, { y: x });
  let refused = '';
  try {
    binding.run();
    memory.read(x, new Float32Array(4));
  } catch (error) {
    refused = String(error);
  }
  report('full validation', /usage|Validation/i.test(refused));
  binding.release();
  await memory.release();
}

/** Buffers that the device cannot make: at its limit, where the driver has no room, and above it. */
async function refusesTooMuch({ limits, openMemory }: Engine): Promise<void> {
  const known = await limits!();
  report('limits', known);
  const memory = await openMemory!();
  for (const [what, bytes] of [
    ['a buffer that the driver refuses', known.bufferBytes!],
    ['a buffer above the limit', 2 * known.bufferBytes!],
  ] as const) {
    try {
      memory.allocate('float32', [bytes / 4]);
      report(what, 'allocated');
    } catch (error) {
      report(what, error instanceof RopewalkError ? error.message : String(error));
    }
  }
  const small = memory.allocate('float32', [2 ** 18]);
  memory.write(small, new Float32Array(2 ** 18).fill(3));
  const data = new Float32Array(2 ** 18);
  memory.read(small, data);
  report('a buffer after those', data[0] === 3 && data.at(-1) === 3);
  await memory.release();
}

/** A model with an operator that this device has no kernel for. */
async function refusesTheProcessor(on: Engine): Promise<void> {
  const hardmax: Operator<None> = {
    name: 'hardmax',
    infer: ([x]) => [x!],
    lower: (e, inputs) => e.node('Hardmax', inputs, { axis: 1 }),
    examples: [],
  };
  const graph = new Map([['y', apply(hardmax, [input('x', 'float32', [2, 3])], {})[0]!]]);
  await (await Executable.compile(on, graph)).release();
  try {
    await (await Executable.compile(on, graph, { onDeviceOnly: true })).release();
    report('refuses the processor', 'compiled');
  } catch (error) {
    report('refuses the processor', error instanceof RopewalkError ? error.message : String(error));
  }
}
