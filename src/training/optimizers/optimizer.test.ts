import { describe, expect, it } from 'vitest';
import { RopewalkError } from '../../errors.ts';
import { HostMemory } from '../../runtime/host-memory.ts';
import { clipCoefficient, globalNorm } from '../clip.ts';
import fixture from '../fixtures/adamw.json' with { type: 'json' };
import { AdamW, allocateTrainable, Sgd, type StateTensor, type Trainable } from './optimizer.ts';

const shapes = [
  { name: 'weight', shape: fixture.shapes.weight },
  { name: 'bias', shape: fixture.shapes.bias },
] as const;

function plainTrainable(): Trainable[] {
  return shapes.map(({ name, shape }) => {
    const n = shape.reduce((a, b) => a * b, 1);
    return { name, shape, value: new Float32Array(n), gradient: new Float32Array(n) };
  });
}

/**
 * A few units in the last place of the largest term: PyTorch's vectorized lerp and addcdiv fuse a multiplication with
 * an addition, so single roundings differ.
 */
function expectClose(actual: Float32Array, expected: readonly number[]): void {
  expect(actual.length).toBe(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  actual.forEach((x, i) => {
    expect(Math.abs(x - expected[i]!)).toBeLessThanOrEqual(3e-7 * largest);
  });
}

function float32(tensor: StateTensor | undefined): Float32Array {
  if (tensor?.dtype !== 'F32') throw new Error('no float32 tensor');
  return tensor.data;
}

type Named = Readonly<Record<string, readonly number[]>>;

describe.each(fixture.cases.map((reference, index) => ({ reference, index })))(
  'AdamW agrees with torch.optim.AdamW, case $index',
  ({ reference }) => {
    it.each(['WebAssembly memory', 'plain arrays'])('on %s', (place) => {
      const parameters =
        place === 'plain arrays' ? plainTrainable() : allocateTrainable(new HostMemory(), shapes);
      const optimizer = new AdamW(parameters, {
        beta1: reference.betas[0]!,
        beta2: reference.betas[1]!,
        eps: reference.eps,
        weightDecay: reference.weightDecay,
      });
      for (const { name, value } of parameters) value.set((reference.start as Named)[name]!);
      for (const { learningRate, norm, gradients, values } of reference.steps) {
        for (const { name, gradient } of parameters) gradient.set((gradients as Named)[name]!);
        let gradientScale = 1;
        if (norm !== null && reference.maxNorm !== null) {
          const ours = globalNorm(parameters.map(({ gradient }) => gradient));
          expect(Math.abs(ours / norm - 1)).toBeLessThan(1e-6);
          gradientScale = clipCoefficient(ours, reference.maxNorm);
        }
        optimizer.step(parameters, { learningRate, gradientScale });
        for (const { name, value } of parameters) expectClose(value, (values as Named)[name]!);
      }
      const { tensors } = optimizer.state();
      for (const { name } of parameters) {
        expectClose(float32(tensors.get(`m.${name}`)), (reference.m as Named)[name]!);
        expectClose(float32(tensors.get(`v.${name}`)), (reference.v as Named)[name]!);
      }
      expect(optimizer.state().steps).toEqual({
        weight: reference.steps.length,
        bias: reference.steps.length,
      });
    });
  },
);

describe('AdamW', () => {
  function fillGradients(parameters: readonly Trainable[], step: number): void {
    for (const { gradient } of parameters) {
      gradient.forEach((_, i) => {
        gradient[i] = Math.sin(i * 7 + step);
      });
    }
  }

  it('chooses weight decay by shape unless told otherwise', () => {
    for (const [decays, expected] of [
      [undefined, [0.5, 1]],
      [(name: string) => name === 'bias', [1, 0.5]],
    ] as const) {
      const parameters = plainTrainable();
      for (const { value } of parameters) value.fill(1);
      // No gradient: only decay moves a value, by 1 − lr · weightDecay.
      new AdamW(parameters, { weightDecay: 1, ...(decays && { decays }) }).step(parameters, {
        learningRate: 0.5,
      });
      expect(parameters.map(({ value }) => value[0])).toEqual(expected);
    }
  });

  it('continues from a restored state as if it had not stopped', () => {
    const whole = allocateTrainable(new HostMemory(), shapes);
    const optimizer = new AdamW(whole);
    for (let step = 0; step < 3; step++) {
      fillGradients(whole, step);
      optimizer.step(whole, { learningRate: 0.01 });
    }
    const saved = optimizer.state();
    expect([...saved.tensors.keys()]).toEqual(['m.weight', 'v.weight', 'm.bias', 'v.bias']);
    expect(saved.tensors.get('v.weight')!.shape).toEqual(fixture.shapes.weight);

    const resumed = plainTrainable();
    resumed.forEach(({ value }, i) => {
      value.set(whole[i]!.value);
    });
    const second = new AdamW(resumed);
    const m = second.state().tensors.get('m.weight')!.data;
    second.restore(saved);
    expect(second.state().tensors.get('m.weight')!.data).toBe(m);
    for (const [parameters, each] of [
      [whole, optimizer],
      [resumed, second],
    ] as const) {
      fillGradients(parameters, 3);
      each.step(parameters, { learningRate: 0.01 });
    }
    resumed.forEach(({ value }, i) => {
      expect([...value]).toEqual([...whole[i]!.value]);
    });
  });

  it('counts steps for each parameter, so that parts can be updated separately', () => {
    const together = plainTrainable();
    const apart = plainTrainable();
    const [a, b] = [new AdamW(together), new AdamW(apart)];
    for (let step = 0; step < 2; step++) {
      fillGradients(together, step);
      fillGradients(apart, step);
      a.step(together, { learningRate: 0.1 });
      for (const parameter of apart) b.step([parameter], { learningRate: 0.1 });
    }
    apart.forEach(({ value }, i) => {
      expect([...value]).toEqual([...together[i]!.value]);
    });
    expect(b.state().steps).toEqual({ weight: 2, bias: 2 });
  });

  it('refuses the state of another model and keeps its own', () => {
    const parameters = plainTrainable();
    const optimizer = new AdamW(parameters);
    const { tensors } = optimizer.state();
    const steps = { weight: 4, bias: 4 };
    const ones = new Map(
      [...tensors].map(([name, tensor]): [string, StateTensor] => {
        const data = float32(tensor).map(() => 1);
        return [name, { dtype: 'F32', data, shape: tensor.shape }];
      }),
    );
    const damaged = new Map(ones);
    damaged.set('v.bias', { dtype: 'BF16', data: new Uint16Array(3), shape: [3] });
    expect(() => optimizer.restore({ steps, tensors: damaged })).toThrow('v.bias is BF16');
    damaged.set('v.bias', { dtype: 'F32', data: new Float32Array(1), shape: [1] });
    expect(() => optimizer.restore({ steps, tensors: damaged })).toThrow('the saved v.bias has 1 elements');
    damaged.delete('v.bias');
    expect(() => optimizer.restore({ steps, tensors: damaged })).toThrow('has no v.bias');
    expect(() => optimizer.restore({ steps: { weight: 1 }, tensors: ones })).toThrow('bias is missing');
    expect(float32(tensors.get('m.weight'))[0]).toBe(0);
    expect(optimizer.state().steps).toEqual({ weight: 0, bias: 0 });
  });

  it('refuses settings that would ruin the weights', () => {
    const parameters = plainTrainable();
    const optimizer = new AdamW(parameters);
    expect(() => optimizer.step(parameters, { learningRate: Number.NaN })).toThrow(RopewalkError);
    expect(() => optimizer.step(parameters, { learningRate: 1, gradientScale: Number.NaN })).toThrow(
      'overflowed',
    );
    expect(() => new AdamW([], { beta2: 1 })).toThrow(RopewalkError);
    expect(() => new AdamW([], { weightDecay: -1 })).toThrow(RopewalkError);
    expect(() => new AdamW([]).step(parameters, { learningRate: 1 })).toThrow('no state for weight');
    expect(() => new AdamW([...parameters, parameters[0]!])).toThrow('listed twice');
  });
});

describe('Sgd', () => {
  it('moves against the gradient', () => {
    for (const parameters of [plainTrainable(), allocateTrainable(new HostMemory(), shapes)]) {
      for (const { value, gradient } of parameters) {
        value.fill(1);
        gradient.fill(4);
      }
      const optimizer = new Sgd();
      optimizer.step(parameters, { learningRate: 0.25, gradientScale: 0.5 });
      for (const { value } of parameters) expect([...new Set(value)]).toEqual([0.5]);
      const resumed = new Sgd();
      resumed.restore(optimizer.state());
      expect(resumed.state()).toEqual({ steps: { weight: 1, bias: 1 }, tensors: new Map() });
    }
  });
});
