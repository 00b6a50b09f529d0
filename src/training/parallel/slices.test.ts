import { describe, expect, it } from 'vitest';
import { sizeOf } from '../../graph/dims.ts';
import { createOptimizer } from '../optimizers/create-optimizer.ts';
import { Slices } from './slices.ts';

const shapes = [
  { name: 'matrix', shape: [70, 50] },
  { name: 'table', shape: [600, 6] },
  { name: 'norm', shape: [50] },
];
const RANKS = 3;

describe('slices of weights', () => {
  it('are all of each weight, in order, and rows of a table', () => {
    const tables = new Set(['table']);
    const all = Array.from({ length: RANKS }, (_, rank) => new Slices(shapes, rank, RANKS, false, tables));
    for (const { name, shape } of shapes) {
      const ranges = all.map((slices) => slices.rangeOf(name));
      expect(ranges[0]!.start).toBe(0);
      expect(ranges.at(-1)!.end).toBe(sizeOf(shape));
      for (const [i, { start }] of ranges.slice(1).entries()) expect(start).toBe(ranges[i]!.end);
    }
    expect(all.map((slices) => slices.rangeOf('table').end / 6)).toEqual([256, 512, 600]);
  });

  it('are whole weights, about as much to each rank, where an optimizer needs that', () => {
    const all = Array.from({ length: RANKS }, (_, rank) => new Slices(shapes, rank, RANKS, true));
    const owners = shapes.map(({ name, shape }) =>
      all.flatMap((slices, rank) => {
        const { start, end } = slices.rangeOf(name);
        if (start === end) return [];
        expect([start, end]).toEqual([0, sizeOf(shape)]);
        return [rank];
      }),
    );
    expect(owners).toEqual([[0], [1], [2]]);
  });

  it.each([
    ['adamw', { states: 'float32' }],
    ['adamw', { states: 'bfloat16' }],
    ['adamw', { states: 'int8' }],
    ['sgd', {}],
  ] as const)('are updated to the same bits as wholes: %s %o', (kind, options) => {
    const make = () =>
      shapes.map(({ name, shape }) => ({
        ...{ name, shape },
        value: Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i)),
        gradient: new Float32Array(sizeOf(shape)),
      }));
    const [whole, divided] = [make(), make()];
    const alone = createOptimizer(kind, whole, { ...options, seed: 3 });
    const ranks = Array.from({ length: RANKS }, (_, rank) => {
      const slices = new Slices(shapes, rank, RANKS, false);
      const own = divided.flatMap((parameter) => {
        const range = slices.rangeOf(parameter.name);
        const { start, end } = range;
        if (start === end) return [];
        const value = parameter.value.subarray(start, end);
        const gradient = parameter.gradient.subarray(start, end);
        return [{ ...parameter, value, gradient, range, offset: start }];
      });
      return { own, optimizer: createOptimizer(kind, own, { ...options, seed: 3 }) };
    });
    for (let step = 0; step < 3; step++) {
      for (const [p, { gradient }] of whole.entries()) {
        gradient.forEach((_, i) => {
          gradient[i] = Math.cos(i * (step + 2) + p);
        });
        divided[p]!.gradient.set(gradient);
      }
      alone.step(whole, { learningRate: 0.01, gradientScale: 0.5 });
      for (const { own, optimizer } of ranks) optimizer.step(own, { learningRate: 0.01, gradientScale: 0.5 });
    }
    expect(divided.map(({ value }) => value)).toEqual(whole.map(({ value }) => value));
    const { tensors, steps } = alone.state();
    const states = ranks.map(({ optimizer }) => optimizer.state());
    expect(Object.assign({}, ...states.map((state) => state.steps))).toEqual(steps);
    for (const [name, { data }] of tensors) {
      const parts = states.flatMap((state) => state.tensors.get(name) ?? []);
      expect(parts.flatMap((part) => [...part.data])).toEqual([...data]);
      expect(parts.map(({ start }) => start)[0]).toBe(0);
    }
  });
});
