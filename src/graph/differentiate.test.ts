import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { randomGraph } from '../../test/helpers/random-graph.ts';
import { RopewalkError } from '../errors.ts';
import { differentiate } from './differentiate.ts';
import { evaluate } from './evaluate.ts';
import {
  add,
  addAlong,
  attention,
  cachedAttention,
  concat,
  constant,
  exp,
  gatherRows,
  input,
  layerNorm,
  log,
  matmul,
  mul,
  reduceMax,
  reduceSum,
  reshape,
  rmsNormOp,
  rotary,
  scalar,
  slice,
  tanh,
  transpose,
} from './operators/index.ts';
import { apply, type Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';
import type { Values } from './values.ts';

const vector = (name: string) => input(name, 'float32', [3]);
const sum = (tensor: Tensor) =>
  reshape(
    reduceSum(
      tensor,
      tensor.shape.map((_, axis) => axis),
    ),
    [],
  );
const numbers = (...data: number[]): Values => ({ shape: [data.length], data: Float64Array.from(data) });

describe('automatic differentiation', () => {
  const [x, y, z] = [vector('x'), vector('y'), vector('z')];
  const feeds = new Map([
    [x, numbers(1, -2, 3)],
    [y, numbers(4, 5, 6)],
    [z, numbers(7, 8, 9)],
  ]);
  const value = (tensor: Tensor | undefined) => Array.from(evaluate([tensor!], feeds)[0]!.data);

  it('sums the gradients of a value that is used several times', () => {
    // d/dx Σ x² + x·y + x = 2x + y + 1
    const [gradient] = differentiate(sum(add(add(mul(x, x), mul(x, y)), x)), [x]);
    expect(value(gradient)).toEqual([7, 2, 13]);
  });

  it('gives no gradient for what the loss does not depend on, and computes nothing for it', () => {
    const loss = sum(mul(x, y));
    const [dx, dz, dy] = differentiate(loss, [x, z, y]);
    expect(dz).toBeUndefined();
    expect(value(dx)).toEqual([4, 5, 6]);
    expect(value(dy)).toEqual([1, -2, 3]);
    const [alone] = differentiate(loss, [x]);
    const names = topologicalOrder([alone!]).map(({ operator }) => operator.name);
    expect(names.filter((name) => name === 'mul')).toHaveLength(1); // not that of y too
  });

  it('gives the gradients of intermediate values', () => {
    const middle = mul(x, y);
    const [dmiddle, dx] = differentiate(sum(mul(middle, middle)), [middle, x]);
    expect(value(dmiddle)).toEqual([8, -20, 36]);
    expect(value(dx)).toEqual([32, -100, 216]);
  });

  it('gives one for the loss with respect to itself', () => {
    const loss = sum(x);
    expect(value(differentiate(loss, [loss])[0])).toEqual([1]);
  });

  it('adds up the gradients of a table over repeated ids', () => {
    const table = input('table', 'float32', [4, 2]);
    const ids = input('ids', 'int32', [3]);
    const weights = constant([1, 2, 3, 4, 5, 6], [3, 2]);
    const [gradient, none] = differentiate(sum(mul(gatherRows(table, ids), weights)), [table, ids]);
    expect(none).toBeUndefined();
    const given = new Map([
      [table, { shape: [4, 2], data: new Float64Array(8) }],
      [ids, numbers(2, 0, 2)],
    ]);
    expect(Array.from(evaluate([gradient!], given)[0]!.data)).toEqual([3, 4, 0, 0, 6, 8, 0, 0]);
  });

  it('reaches through thousands of steps', () => {
    let deep: Tensor = x;
    for (let i = 0; i < 4000; i++) deep = add(deep, scalar(1));
    expect(value(differentiate(sum(mul(deep, y)), [x])[0])).toEqual([4, 5, 6]);
  });

  it('can be differentiated again', () => {
    // Σ x³: 3x², then 6x
    const [first] = differentiate(sum(mul(mul(x, x), x)), [x]);
    const [second] = differentiate(sum(first!), [x]);
    expect(value(second)).toEqual([6, -12, 18]);
  });

  it('agrees with finite differences for random graphs', () => {
    fc.assert(
      fc.property(randomGraph, ({ inputs, values, feeds: given }) => {
        const loss = sum(mul(values.at(-1)!, constant([1, -2, 3, 0.5, 1, -1, 2, 0.25, -3], [3, 3])));
        const gradients = differentiate(loss, inputs);
        for (const [i, source] of inputs.entries()) {
          const at = (position: number, delta: number) => {
            const data = given.get(source)!.data.slice();
            data[position]! += delta;
            return evaluate([loss], new Map(given).set(source, { shape: [3, 3], data }))[0]!.data[0]!;
          };
          const numeric = Array.from({ length: 9 }, (_, p) => (at(p, 1e-5) - at(p, -1e-5)) / 2e-5);
          const exact = gradients[i]
            ? Array.from(evaluate([gradients[i]], given)[0]!.data)
            : numeric.map(() => 0);
          const size = Math.max(1, ...numeric.map(Math.abs));
          numeric.forEach((number, p) => {
            expect(Math.abs(exact[p]! - number)).toBeLessThan(1e-5 * size);
          });
        }
      }),
      { seed: 8, numRuns: 150 },
    );
  });
});

describe('automatic differentiation refuses', () => {
  const x = input('x', 'float32', [2, 3]);

  it('a loss that is not a scalar or not a float', () => {
    expect(() => differentiate(x, [x])).toThrow(RopewalkError);
    expect(() => differentiate(x, [x])).toThrow(
      'differentiate: the loss must be a float32 scalar, but is float32[2, 3]; sum or average it first.',
    );
    expect(() => differentiate(input('n', 'int32', []), [x])).toThrow(
      /must be a float32 scalar, but is int32\[\]/,
    );
  });

  it('a path through an operator without a derivative, but not one beside it', () => {
    expect(() => differentiate(sum(reduceMax(x, [1])), [x])).toThrow(
      'reduceMax: it has no derivative, but the loss depends on a trained value through it.',
    );
    const other = input('other', 'float32', [2, 1]);
    expect(differentiate(sum(mul(reduceMax(x, [1]), other)), [other])[0]).toBeDefined();
    const [q, k] = [input('q', 'float32', [1, 2, 8]), input('k', 'float32', [1, 2, 8])];
    const [cache, length] = [input('cache', 'float32', [1, 1, 4, 8]), input('length', 'int32', [1])];
    const total = input('total', 'int32', []);
    const settings = { heads: 1, kvHeads: 1, scale: 1, softcap: null, window: null };
    const [attended] = cachedAttention(q, k, k, cache, cache, length, total, length, settings);
    expect(() => differentiate(sum(attended), [q])).toThrow(/cachedAttention: it has no derivative/);
  });

  it('a path through an output that only serves a derivative', () => {
    const [, inverse] = apply(rmsNormOp, [x, constant([1, 1, 1], [3])], { epsilon: 1e-6 });
    expect(() => differentiate(sum(inverse!), [x])).toThrow(
      /rmsNorm: it has no derivative through its output 1, which the loss uses/,
    );
  });
});

describe('a wrong shape throws where the program made it, naming the operator and both shapes:', () => {
  const a = input('a', 'float32', [2, 3]);
  const b = input('b', 'float32', [4, 5]);
  const ids = input('ids', 'int32', [4]);

  it.each<[name: string, make: () => unknown, shapes: string[]]>([
    ['add', () => add(a, b), ['float32[2, 3]', 'float32[4, 5]']],
    ['mul', () => mul(a, ids), ['float32[2, 3]', 'int32[4]']],
    ['matmul', () => matmul(a, b), ['float32[2, 3]', 'float32[4, 5]']],
    ['matmul', () => matmul(a, b, { transB: true }), ['float32[2, 3]', 'float32[4, 5]']],
    ['concat', () => concat([a, b], 0), ['float32[2, 3]', 'float32[4, 5]']],
    ['reshape', () => reshape(a, [4, 2]), ['float32[2, 3]', '[4, 2]']],
    ['transpose', () => transpose(a, [0, 0]), ['float32[2, 3]', '[0,0]']],
    ['slice', () => slice(a, 1, 2, 9), ['float32[2, 3]', '2…9']],
    ['gatherRows', () => gatherRows(a, b), ['float32[2, 3]', 'float32[4, 5]']],
    ['addAlong', () => addAlong(a, ids, b), ['float32[2, 3]', 'int32[4]']],
    [
      'layerNorm',
      () => layerNorm(a, vector('w'), input('c', 'float32', [4]), 1e-5),
      ['float32[2, 3]', 'float32[4]'],
    ],
    ['rotary', () => rotary(a, b, b, 2), ['float32[2, 3]', 'float32[4, 5]']],
    [
      'attention',
      () => attention(a, b, b, a, { scale: 1, softcap: null }),
      ['float32[2, 3]', 'float32[4, 5]'],
    ],
    ['exp', () => exp(ids), ['int32[4]']],
    ['reduceSum', () => reduceSum(a, [2]), ['float32[2, 3]', '2']],
  ])('%s', (name, make, shapes) => {
    const error = (() => {
      try {
        make();
      } catch (thrown) {
        return thrown as Error;
      }
      return new Error('nothing was thrown');
    })();
    expect(error).toBeInstanceOf(RopewalkError);
    expect(error.message).toMatch(new RegExp(`^${name}: `));
    for (const shape of shapes) expect(error.message).toContain(shape);
    expect(error.message).not.toContain('\n');
    // This very file is among the callers.
    expect(error.stack).toContain('differentiate.test');
  });
});

it('the derivatives of log and tanh at a point are the known ones', () => {
  const x = input('x', 'float32', [1]);
  const feeds = new Map([[x, numbers(0.5)]]);
  const at = (f: (tensor: Tensor) => Tensor) =>
    evaluate([differentiate(sum(f(x)), [x])[0]!], feeds)[0]!.data[0];
  expect(at(log)).toBeCloseTo(2, 12);
  expect(at(tanh)).toBeCloseTo(1 - Math.tanh(0.5) ** 2, 12);
  expect(at(exp)).toBeCloseTo(Math.exp(0.5), 12);
});
