/*
 * Optimizers on a device beside those on the CPU: `node child.js`. In a process of its own, since a graphics driver that
 * crashes takes its process with it. Prints one line of JSON for each check: {check, value}.
 */
import { writeSync } from 'node:fs';
import { sizeOf } from '../../src/graph/dims.ts';
import { Random } from '../../src/random.ts';
import type { DeviceMemory } from '../../src/runtime/device.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
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

const engine = nodeEngine({ provider: 'webgpu', threads: 1 });
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
function error(actual: ArrayLike<number>, expected: ArrayLike<number>, from?: ArrayLike<number>): number {
  let [difference, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]! - (from?.[i] ?? 0)));
  }
  return difference / largest;
}

async function compare(
  label: string,
  kind: OptimizerKind,
  options: OptimizerOptions,
  whole = false,
): Promise<void> {
  const random = new Random(7);
  const memory = await engine.openMemory!();
  const all = weights(random);
  const first = all.map(({ value }) => value.slice());
  const parameters = onDevice(memory, all, whole);
  const cpu = createOptimizer(kind, all, options);
  const device: DeviceOptimizer = await createDeviceOptimizer(engine, memory, kind, parameters, options);
  const names = all.map(({ name }) => name);
  const some = names.slice(1);
  await device.prepare([names, some]);
  let [normError, scaleError] = [0, 0];
  for (let step = 0; step < 4; step++) {
    // A step of some of the parameters, so that step counts differ, and one that is not clipped.
    const set = step === 1 ? some : names;
    const updated = all.filter(({ name }) => set.includes(name));
    const learningRate = [1e-3, 2e-3, 0.5e-3, 1e-3][step]!;
    for (const { gradient } of all) gradient.set(normal(random, gradient.length, step === 2 ? 1e-5 : 0.3));
    for (const [i, { gradient }] of parameters.entries()) write(memory, gradient, all[i]!.gradient);
    const norm = globalNorm(updated.map(({ gradient }) => gradient));
    const gradientScale = clipCoefficient(norm, CLIP);
    cpu.step(updated, { learningRate, gradientScale });
    const measured = device.measure(set, CLIP);
    device.update(set, { learningRate, scale: measured.scale });
    normError = Math.max(normError, Math.abs(read(memory, [measured.norm])[0]! / norm - 1));
    scaleError = Math.max(scaleError, Math.abs(read(memory, [measured.scale])[0]! / gradientScale - 1));
    const values = parameters.map(({ value }) => read(memory, value));
    report(`${label}: update ${step}`, Math.max(...values.map((x, i) => error(x, all[i]!.value, first[i]))));
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
  const stateError = ([name, { data }]: [string, StateTensor]) => error(own.tensors.get(name)!.data, data);
  report(`${label}: states`, Math.max(0, ...[...expected.tensors].map(stateError)));
  await device.release();
  await memory.release();
}

await compare('adamw', 'adamw', { weightDecay: 0.1 });
await compare('sgd', 'sgd', {});
