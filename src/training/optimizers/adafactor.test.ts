import { describe, expect, it } from 'vitest';
import { RopewalkError } from '../../errors.ts';
import fixture from '../fixtures/adafactor.json' with { type: 'json' };
import { Adafactor } from './adafactor.ts';

const shapes = Object.entries(fixture.shapes).map(([name, shape]) => ({ name, shape }));
type Named = Readonly<Record<string, readonly number[]>>;

function zeros(shape: readonly number[]) {
  const size = shape.reduce((product, length) => product * length, 1);
  return { value: new Float32Array(size), gradient: new Float32Array(size) };
}

/** A few units in the last place of the largest: PyTorch adds norms in float32 and in another order. */
function expectClose(actual: ArrayLike<number>, expected: readonly number[], tolerance = 1e-6): void {
  expect(actual.length).toBe(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  expected.forEach((x, i) => {
    expect(Math.abs(actual[i]! - x)).toBeLessThanOrEqual(tolerance * largest);
  });
}

describe('Adafactor', () => {
  it.each(fixture.cases.map((reference, index) => ({ reference, index })))(
    'agrees with torch.optim.Adafactor, case $index',
    ({ reference }) => {
      const { beta2Decay, epsilons, clipThreshold, weightDecay } = reference;
      const parameters = shapes.map(({ name, shape }) => ({ name, shape, ...zeros(shape) }));
      const optimizer = new Adafactor(parameters, {
        beta2Decay,
        clipThreshold,
        weightDecay,
        ...(epsilons && { epsilons: epsilons as [number, number] }),
      });
      for (const { name, value } of parameters) value.set((reference.start as Named)[name]!);
      for (const { learningRate, gradients, values } of reference.steps) {
        // Gradients are given doubled and scaled back, as clipping would.
        for (const { name, gradient } of parameters) {
          gradient.set((gradients as Named)[name]!.map((g) => 2 * g));
        }
        optimizer.step(parameters, { learningRate, gradientScale: 0.5 });
        for (const { name, value } of parameters) expectClose(value, (values as Named)[name]!);
      }
      const { tensors } = optimizer.state();
      expect([...tensors.keys()].sort()).toEqual(Object.keys(reference.state).sort());
      for (const [name, { data }] of tensors) expectClose(data, (reference.state as unknown as Named)[name]!);
    },
  );

  it('computes a matrix beyond one chunk as the formulas of the paper in float64', () => {
    const [rows, width] = [700, 150];
    const parameter = { name: 'w', shape: [rows, width], ...zeros([rows, width]) };
    const { value, gradient } = parameter;
    value.forEach((_, i) => {
      value[i] = Math.sin(i);
      gradient[i] = Math.cos(i * i) * 10 ** ((i % 5) - 4);
    });
    const expected = Float64Array.from(value);
    // In the first step the averages are the means themselves: R_i C_j / mean(R), the paper's algorithm 4.
    const squares = Float64Array.from(gradient, (g) => g * g);
    const mean = (count: number, at: (k: number) => number) => {
      let sum = 0;
      for (let k = 0; k < count; k++) sum += squares[at(k)]!;
      return sum / count;
    };
    const r = Array.from({ length: rows }, (_, i) => mean(width, (j) => i * width + j));
    const c = Array.from({ length: width }, (_, j) => mean(rows, (i) => i * width + j));
    const all = mean(rows * width, (k) => k);
    const update = Float64Array.from(gradient, (g, k) => {
      return g / Math.sqrt((r[Math.floor(k / width)]! * c[k % width]!) / all);
    });
    const rms = (x: Float64Array) => Math.sqrt(x.reduce((sum, y) => sum + y * y, 0) / x.length);
    const rate = (0.01 * rms(expected)) / Math.max(1, rms(update));
    const optimizer = new Adafactor([parameter]);
    optimizer.step([parameter], { learningRate: 0.01 });
    const errors = value.map((x, k) => Math.abs(x - (expected[k]! - rate * update[k]!)));
    expect(errors.reduce((most, error) => Math.max(most, error), 0)).toBeLessThan(2e-7);
    expect(optimizer.bytesPerParameter).toBeCloseTo((4 * (rows + width)) / (rows * width), 10);
  });

  it('continues from a restored state as if it had not stopped', () => {
    const make = () => shapes.map(({ name, shape }) => ({ name, shape, ...zeros(shape) }));
    const [whole, resumed] = [make(), make()];
    const [a, b] = [new Adafactor(whole), new Adafactor(resumed)];
    const fill = (parameters: typeof whole, step: number) => {
      for (const { gradient } of parameters) {
        gradient.forEach((_, i) => {
          gradient[i] = Math.sin(i * 7 + step);
        });
      }
    };
    for (let step = 0; step < 3; step++) {
      fill(whole, step);
      a.step(whole, { learningRate: 0.1 });
    }
    resumed.forEach(({ value }, i) => {
      value.set(whole[i]!.value);
    });
    b.restore(a.state());
    fill(whole, 3);
    fill(resumed, 3);
    a.step(whole, { learningRate: 0.1 });
    b.step(resumed, { learningRate: 0.1 });
    expect(resumed.map(({ value }) => value)).toEqual(whole.map(({ value }) => value));
  });

  it('refuses settings that PyTorch refuses, and part of a weight', () => {
    expect(() => new Adafactor([], { beta2Decay: 0.1 })).toThrow(RopewalkError);
    expect(() => new Adafactor([], { clipThreshold: 0.5 })).toThrow(RopewalkError);
    expect(() => new Adafactor([], { epsilons: [0, -1] })).toThrow(
      'epsilons: give a number of at least 0, not [0,-1]',
    );
    const parameter = { name: 'w', shape: [4, 2], ...zeros([2, 2]) };
    expect(() => new Adafactor([parameter]).step([parameter], { learningRate: 1 })).toThrow(
      'pass all elements at once',
    );
  });
});
