/*
 * Optimizers on a device beside those on the CPU: `node child.js`. In a process of its own, since a graphics driver that
 * crashes takes its process with it. Prints one line of JSON for each check: {check, value}.
 */
import { writeSync } from 'node:fs';
import { RopewalkError } from '../../src/errors.ts';
import { sizeOf } from '../../src/graph/dims.ts';
import { input, mul, scalar } from '../../src/graph/operators/index.ts';
import { Random } from '../../src/random.ts';
import type { DeviceMemory } from '../../src/runtime/device.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { Executable } from '../../src/runtime/executable.ts';
import { clipCoefficient, globalNorm } from '../../src/training/clip.ts';
import { createDeviceOptimizer } from '../../src/training/on-device/create-device-optimizer.ts';
import type { DeviceOptimizer, DeviceParameter } from '../../src/training/on-device/device-optimizer.ts';
import {
  createOptimizer,
  type OptimizerKind,
  type OptimizerOptions,
} from '../../src/training/optimizers/create-optimizer.ts';
import type { StateTensor } from '../../src/training/optimizers/optimizer-common.ts';

const SHAPES: Readonly<Record<string, readonly number[]>> = {
  embedding: [301, 24],
  experts: [3, 8, 40],
  norm: [7],
  one: [1],
  square: [64, 64],
  large: [1030, 1021],
};
const CLIP = 0.7;

interface Weight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly value: Float32Array;
  readonly gradient: Float32Array;
}

const plain = nodeEngine({ provider: 'webgpu', threads: 1 });
/** The device checks every call: an operator that reads and writes one buffer is an error. The first session decides. */
const engine: Engine = {
  ...plain,
  runtime: {
    ...plain.runtime,
    InferenceSession: {
      create: (model, options, ...rest) =>
        plain.runtime.InferenceSession.create(
          model,
          {
            ...options,
            extra: { ...options?.extra, ep: { webgpuexecutionprovider: { validationMode: 'full' } } },
          },
          ...rest,
        ),
    },
  },
};
const report = (check: string, value: unknown) => writeSync(1, `${JSON.stringify({ check, value })}\n`);

function weights(random: Random): Weight[] {
  return Object.entries(SHAPES).map(([name, shape]) => {
    const size = sizeOf(shape) as number;
    return { name, shape, value: normal(random, size, 0.02), gradient: new Float32Array(size) };
  });
}

function normal(random: Random, size: number, deviation: number): Float32Array {
  return Float32Array.from({ length: size }, () => deviation * random.nextGaussian());
}

/** The weights on the device; the first in two tensors, as where one would be too large. */
function onDevice(memory: DeviceMemory, all: readonly Weight[], whole: boolean): DeviceParameter[] {
  return all.map(({ name, shape, value }, i) => {
    const [rows = 1, ...rest] = shape;
    const shapes =
      i === 0 && !whole
        ? [
            [100, ...rest],
            [rows - 100, ...rest],
          ]
        : [shape];
    const tensors = () => shapes.map((each) => memory.allocate('float32', each));
    const parameter = { name, shape, value: tensors(), gradient: tensors() };
    write(memory, parameter.value, value);
    return parameter;
  });
}

function write(memory: DeviceMemory, parts: DeviceParameter['value'], data: Float32Array): void {
  let at = 0;
  for (const part of parts) {
    const size = part.byteLength / 4;
    memory.write(part, data.subarray(at, at + size));
    at += size;
  }
}

function read(memory: DeviceMemory, parts: DeviceParameter['value']): Float32Array {
  const arrays = parts.map((part) => {
    const data = new Float32Array(part.byteLength / 4);
    memory.read(part, data);
    return data;
  });
  const whole = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    whole.set(array, at);
    at += array.length;
  }
  return whole;
}

/** The largest difference, as a share of the largest expected magnitude. */
function error(actual: Float32Array, expected: Float32Array): number {
  let [difference, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}

/**
 * The largest difference between values after some steps, as a share of the largest change, beyond what each step's
 * rounding of a value may make: one unit in the last place.
 */
function changeError(
  actual: Float32Array,
  expected: Float32Array,
  from: Float32Array,
  steps: number,
): number {
  let [difference, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const rounding = steps * 2 ** -23 * Math.max(Math.abs(expected[i]!), Math.abs(from[i]!));
    difference = Math.max(difference, Math.abs(actual[i]! - expected[i]!) - rounding);
    largest = Math.max(largest, Math.abs(expected[i]! - from[i]!));
  }
  return difference / largest;
}

async function compare(
  label: string,
  kind: OptimizerKind,
  options: OptimizerOptions,
  /** Without the largest weight, or with every weight in one tensor. */
  { small = false, whole = false } = {},
): Promise<void> {
  const random = new Random(7);
  const memory = await engine.openMemory!();
  const all = weights(random).filter(({ name }) => !(small && name === 'large'));
  const first = all.map(({ value }) => value.slice());
  const parameters = onDevice(memory, all, whole);
  const cpu = createOptimizer(kind, all, options);
  const device: DeviceOptimizer = await createDeviceOptimizer(engine, memory, kind, parameters, options);
  const names = all.map(({ name }) => name);
  const sets = [names.slice(0, 1), names.slice(1)];
  await device.prepare(sets);
  let [normError, scaleError] = [0, 0];
  for (let step = 0; step < 4; step++) {
    const learningRate = [1e-3, 2e-3, 0.5e-3, 1e-3][step]!;
    // One step is not clipped.
    for (const { gradient } of all) gradient.set(normal(random, gradient.length, step === 2 ? 1e-5 : 0.3));
    // In one step, the loss is scaled; its norm is that of the unscaled gradients.
    const lossScale = step === 3 ? 65_536 : 1;
    for (const [i, { gradient }] of parameters.entries()) {
      write(
        memory,
        gradient,
        all[i]!.gradient.map((x) => lossScale * x),
      );
    }
    // In one step, one of the sets is not updated: step counts then differ.
    for (const set of step === 1 ? sets.slice(1) : sets) {
      const updated = all.filter(({ name }) => set.includes(name));
      const norm = globalNorm(updated.map(({ gradient }) => gradient));
      const gradientScale = clipCoefficient(norm, CLIP);
      cpu.step(updated, { learningRate, gradientScale });
      const measured = device.measure(set, CLIP, lossScale);
      device.update(set, { learningRate, scale: measured.scale });
      normError = Math.max(normError, Math.abs(read(memory, [measured.norm])[0]! / norm - 1));
      scaleError = Math.max(
        scaleError,
        Math.abs((lossScale * read(memory, [measured.scale])[0]!) / gradientScale - 1),
      );
    }
    const values = parameters.map(({ value }) => read(memory, value));
    const errors = values.map((x, i) => changeError(x, all[i]!.value, first[i]!, step + 1));
    report(`${label}: values after step ${step + 1}`, Math.max(0, ...errors));
  }
  report(`${label}: norm`, normError);
  report(`${label}: scale`, scaleError);
  const [own, expected] = [device.state(), cpu.state()];
  const entries = ({ tensors }: typeof own) =>
    [...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape: [...shape] }));
  report(
    `${label}: same form`,
    JSON.stringify([own.steps, entries(own)]) === JSON.stringify([expected.steps, entries(expected)]),
  );
  const stateError = ([name, { data }]: [string, StateTensor]) =>
    error(own.tensors.get(name)!.data as Float32Array, data as Float32Array);
  report(`${label}: states`, Math.max(0, ...[...expected.tensors].map(stateError)));

  // A checkpoint of one continues on the other.
  const again = {
    cpu: createOptimizer(kind, all, options),
    device: await createDeviceOptimizer(engine, memory, kind, parameters, options),
  };
  await again.device.prepare(sets);
  again.cpu.restore(own);
  again.device.restore(expected);
  const start = parameters.map(({ value }) => read(memory, value));
  for (const [i, { value }] of all.entries()) value.set(start[i]!);
  for (const set of sets) {
    const updated = all.filter(({ name }) => set.includes(name));
    const gradientScale = clipCoefficient(globalNorm(updated.map(({ gradient }) => gradient)), CLIP);
    again.cpu.step(updated, { learningRate: 1e-3, gradientScale });
    again.device.update(set, { learningRate: 1e-3, scale: again.device.measure(set, CLIP).scale });
  }
  const resumed = parameters.map(({ value }, i) =>
    changeError(read(memory, value), all[i]!.value, start[i]!, 1),
  );
  report(`${label}: values after resuming each from the other`, Math.max(0, ...resumed));
  const unlimited = again.device.measure(sets[1]!, 0);
  report(`${label}: scale without clipping`, read(memory, [unlimited.scale])[0]);
  all[3]!.gradient[0] = Number.POSITIVE_INFINITY;
  write(memory, parameters[3]!.gradient, all[3]!.gradient);
  const { norm, scale } = again.device.measure(sets[1]!, CLIP);
  report(
    `${label}: an infinite gradient`,
    [norm, scale].map((tensor) => `${read(memory, [tensor])[0]}`),
  );
  await again.device.release();
  await device.release();
  await memory.release();
}

async function refusals(): Promise<void> {
  const memory = await engine.openMemory!();
  const parts = onDevice(memory, weights(new Random(7)).slice(0, 1), false);
  const message = (kind: OptimizerKind, options: OptimizerOptions) =>
    createDeviceOptimizer(engine, memory, kind, parts, options).then(
      () => 'not refused',
      (error: unknown) => (error instanceof RopewalkError ? error.message : 'another error'),
    );
  report('refuses int8', await message('adamw', { states: 'int8' }));
  report('refuses bfloat16', await message('adamw', { states: 'bfloat16' }));
  report('refuses parts of a weight', await message('adafactor', {}));
  await memory.release();
}

/** Whether the device refuses an operator that reads and writes one buffer, as it must for these checks to mean anything. */
async function checksBuffers(): Promise<boolean> {
  const memory = await engine.openMemory!();
  const x = input('x', 'float32', [64]);
  const executable = await Executable.compile(engine, new Map([['y', mul(x, x)]]));
  const tensor = memory.allocate('float32', [64]);
  try {
    executable.bind({ x: tensor }, { y: tensor }).run();
    memory.read(tensor, new Float32Array(64));
    return false;
  } catch (error) {
    return error instanceof Error && /usage|writable|synchronization/i.test(error.message);
  }
}

// Keeps the device open.
const keeper = await Executable.compile(engine, new Map([['y', mul(input('x', 'float32', [1]), scalar(2))]]));
await compare('adamw', 'adamw', { weightDecay: 0.1 });
await compare('sgd', 'sgd', {}, { small: true });
await compare('adafactor', 'adafactor', { weightDecay: 0.1 }, { whole: true });
await refusals();
// Last: a device does not recover from this.
report('refuses one buffer for input and output', await checksBuffers());
await keeper.release();
