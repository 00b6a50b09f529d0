import fc from 'fast-check';
import {
  add,
  broadcastTo,
  concat,
  constant,
  div,
  input,
  matmul,
  mul,
  neg,
  reduceMean,
  reduceSum,
  reshape,
  rmsNorm,
  scalar,
  slice,
  softmax,
  sub,
  tanh,
  transpose,
} from '../../src/graph/operators/index.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import type { Values } from '../../src/graph/values.ts';

/** A program of random steps over matrices [3, 3]: each step uses values that are there and adds one. */
type Step = (pick: (i: number) => Tensor) => Tensor;

const unary: ((x: Tensor) => Tensor)[] = [
  tanh,
  neg,
  softmax,
  (x) => transpose(x, [1, 0]),
  (x) => reshape(reshape(x, [9]), [3, 3]),
  (x) => mul(x, scalar(1)),
  (x) => add(scalar(0), x),
  (x) => sub(x, scalar(0)),
  (x) => mul(x, scalar(0.5)),
  (x) => div(x, scalar(2)),
  (x) => broadcastTo(reduceMean(x, [1]), [3, 3]),
  (x) => broadcastTo(reduceSum(mul(x, scalar(0.25)), [0]), [3, 3]),
  (x) => concat([slice(x, 0, 1, 3), slice(x, 0, 0, 1)], 0),
  (x) => rmsNorm(x, constant([1, 0.5, 2], [3]), 0.1),
  (x) => add(x, constant([1, 0, -1], [3])),
  (x) => mul(x, constant([0.5, 1, 2], [3, 1])),
];
const binary: ((a: Tensor, b: Tensor) => Tensor)[] = [
  add,
  sub,
  mul,
  (a, b) => matmul(a, b, { alpha: 0.3 }),
  (a, b) => matmul(a, b, { transB: true, alpha: 0.3 }),
];

const index = fc.nat(30);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(fc.constantFrom(...unary), index).map(
    ([f, i]): Step =>
      (pick) =>
        f(pick(i)),
  ),
  fc.tuple(fc.constantFrom(...binary), index, index).map(
    ([f, i, j]): Step =>
      (pick) =>
        f(pick(i), pick(j)),
  ),
);

export interface RandomGraph {
  readonly inputs: readonly Tensor[];
  readonly values: readonly Tensor[];
  readonly feeds: ReadonlyMap<Tensor, Values>;
}

/** Random graphs of many uses and reuses, with values for their inputs. */
export const randomGraph: fc.Arbitrary<RandomGraph> = fc
  .record({
    steps: fc.array(step, { minLength: 1, maxLength: 14 }),
    numbers: fc.array(fc.integer({ min: -100, max: 100 }), { minLength: 18, maxLength: 18 }),
  })
  .map(({ steps, numbers }) => {
    const inputs = [input('x', 'float32', [3, 3]), input('y', 'float32', [3, 3])];
    const values = [...inputs];
    // The later ones are used more often, so that graphs are deep.
    for (const make of steps) values.push(make((i) => values[Math.max(0, values.length - 1 - (i % 6))]!));
    const feeds = new Map(
      inputs.map((tensor, i) => [
        tensor,
        { shape: [3, 3], data: Float64Array.from(numbers.slice(9 * i, 9 * i + 9), (n) => n / 64) },
      ]),
    );
    return { inputs, values, feeds };
  });
