import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { randomGraph } from '../../test/helpers/random-graph.ts';
import { symbol } from './dims.ts';
import { evaluate } from './evaluate.ts';
import {
  add,
  barrier,
  constant,
  div,
  exp,
  input,
  mul,
  neg,
  reshape,
  rmsNorm,
  scalar,
  scalarValue,
  sub,
  tanh,
  transpose,
} from './operators/index.ts';
import { simplify } from './simplify.ts';
import type { Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';

const x = input('x', 'float32', [2, 3]);
const y = input('y', 'float32', [2, 3]);
const zero = input('zero', 'float32', []);

/** How often each operator stands in what is left of a graph. */
function countsOf(...outputs: Tensor[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { operator } of topologicalOrder(simplify(outputs, 'onnxruntime'))) {
    counts[operator.name] = (counts[operator.name] ?? 0) + 1;
  }
  return counts;
}

describe('merging equal nodes', () => {
  it('makes them one, and also everything that is built on them', () => {
    const twice = () => tanh(mul(exp(x), y));
    expect(countsOf(add(twice(), twice()))).toEqual({ input: 2, exp: 1, mul: 1, tanh: 1, add: 1 });
    const [a, b] = simplify([twice(), twice()], 'onnxruntime');
    expect(a).toBe(b);
  });

  it('keeps apart nodes that differ in inputs, their order or attributes', () => {
    expect(countsOf(sub(x, y), sub(y, x)).sub).toBe(2);
    expect(countsOf(reshape(x, [3, 2]), reshape(x, [6])).reshape).toBe(2);
    expect(countsOf(reshape(x, [3, 2]), reshape(x, [3, 2])).reshape).toBe(1);
    const t = input('t', 'float32', [symbol('time'), 4]);
    const u = input('u', 'float32', [symbol('past'), 4]);
    expect(countsOf(reshape(t, [2, symbol('time'), 2]), reshape(u, [2, symbol('past'), 2])).reshape).toBe(2);
  });

  it('never merges two inputs, even of equal names', () => {
    expect(countsOf(add(x, input('x', 'float32', [2, 3]))).input).toBe(2);
  });

  it('treats large constants as equal only when they are the same array', () => {
    const data = new Float32Array(100);
    const wide = input('w', 'float32', [100]);
    const sum = (...arrays: Float32Array[]) => arrays.map((array) => add(wide, constant(array, [100])));
    expect(countsOf(...sum(data, data)).add).toBe(1);
    expect(countsOf(...sum(data, data.slice())).add).toBe(2);
    expect(countsOf(add(x, constant([1, 2, 3], [3])), add(x, constant([1, 2, 3], [3]))).add).toBe(1);
  });
});

describe('a barrier', () => {
  it('keeps what is behind it from being merged with what is before it', () => {
    const plain = tanh(exp(x));
    const again = tanh(exp(barrier(x, y, zero)));
    expect(countsOf(plain, again)).toEqual({ input: 3, barrier: 1, exp: 2, tanh: 2 });
    const [a, b] = simplify([plain, again], 'onnxruntime');
    expect(a).not.toBe(b);
  });

  it('separates what is behind it from what is behind another, but not from what is behind the same one', () => {
    const first = barrier(x, y, zero);
    expect(countsOf(exp(first), exp(barrier(x, y, zero))).exp).toBe(2);
    expect(countsOf(exp(first), exp(first)).exp).toBe(1);
  });

  it('is not folded away when everything before it is constant', () => {
    const known = constant([1, 2], [2]);
    expect(countsOf(exp(barrier(known, y, zero)))).toMatchObject({ barrier: 1, exp: 1 });
  });

  it('requires a float tensor and a scalar', () => {
    expect(() => barrier(x, y, y)).toThrow(/barrier: needs float tensors .*\(given float32\[2, 3\]/);
    expect(() => barrier(input('i', 'int32', [2]), y, zero)).toThrow(/barrier: .*int32\[2\]/);
  });
});

describe('constant folding', () => {
  it('computes constants once', () => {
    const six = mul(scalar(2), add(scalar(1), scalar(2)));
    expect(countsOf(mul(x, six))).toEqual({ input: 1, constant: 1, mul: 1 });
    const [folded] = simplify([six], 'onnxruntime');
    expect(scalarValue(folded!)).toBe(6);
    const [matrix] = simplify([transpose(constant([1, 2, 3, 4, 5, 6], [2, 3]), [1, 0])], 'onnxruntime');
    expect(evaluate([matrix!], new Map())[0]).toEqual({
      shape: [3, 2],
      data: Float64Array.of(1, 4, 2, 5, 3, 6),
    });
  });

  it('removes operations that change nothing', () => {
    for (const same of [
      add(x, scalar(0)),
      add(scalar(0), x),
      sub(x, scalar(0)),
      mul(x, scalar(1)),
      mul(scalar(1), x),
      div(x, scalar(1)),
      neg(neg(x)),
      transpose(transpose(x, [1, 0]), [1, 0]),
      reshape(reshape(x, [6]), [2, 3]),
      mul(x, sub(scalar(2), scalar(1))),
    ]) {
      expect(simplify([same], 'onnxruntime')[0]).toBe(x);
    }
  });

  it('keeps operations that only seem to change nothing', () => {
    expect(countsOf(sub(scalar(0), x)).sub).toBe(1);
    expect(countsOf(div(scalar(1), x)).div).toBe(1);
    // The scalar gets its shape from the other side.
    const one = input('one', 'float32', []);
    expect(countsOf(add(one, constant([0, 0], [2]))).add).toBe(1);
    const cube = input('c', 'float32', [2, 3, 4]);
    expect(countsOf(transpose(transpose(cube, [1, 2, 0]), [1, 2, 0])).transpose).toBe(2);
  });
});

describe('composite operators', () => {
  it('stay whole for the engine, and are expanded where it has no such operator', () => {
    const normed = rmsNorm(x, constant([1, 1, 1], [3]), 1e-6);
    expect(countsOf(normed)).toMatchObject({ rmsNorm: 1 });
    const expanded = topologicalOrder(simplify([normed], 'standard')).map(({ operator }) => operator.name);
    expect(expanded).toContain('sqrt');
    expect(expanded).not.toContain('rmsNorm');
  });
});

it('simplifying changes no value of random graphs', () => {
  fc.assert(
    fc.property(randomGraph, fc.constantFrom('onnxruntime', 'standard'), ({ values, feeds }, dialect) => {
      const before = evaluate(values, feeds);
      const after = evaluate(simplify(values, dialect), feeds);
      before.forEach((value, i) => {
        expect(after[i]!.shape).toEqual(value.shape);
        value.data.forEach((number, at) => {
          expect(Math.abs(after[i]!.data[at]! - number)).toBeLessThanOrEqual(1e-12 * (1 + Math.abs(number)));
        });
      });
    }),
    { seed: 5, numRuns: 300 },
  );
});

it('simplifying leaves no two equal nodes in random graphs', () => {
  fc.assert(
    fc.property(randomGraph, ({ values }) => {
      const keys = topologicalOrder(simplify(values, 'onnxruntime')).map(
        ({ operator, inputs, attributes }) =>
          `${operator.name} ${inputs.map((tensor) => `${tensor.node.id}.${tensor.index}`)} ${JSON.stringify(attributes)}`,
      );
      expect(new Set(keys).size).toBe(keys.length);
    }),
    { seed: 6, numRuns: 200 },
  );
});
