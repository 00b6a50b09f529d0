import { describe, expect, it } from 'vitest';
import { Random } from '../random.ts';
import { differentiate } from './differentiate.ts';
import { sizeOf } from './dims.ts';
import { evaluate } from './evaluate.ts';
import {
  gelu,
  type InputAttributes,
  input,
  linear,
  mul,
  parameter,
  reduceSum,
  reshape,
  softmax,
} from './operators/index.ts';
import { partition } from './partition.ts';
import { substitute } from './rewrite.ts';
import type { Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';
import type { Values } from './values.ts';

/** A block, forward and backward: the two halves of a cut together are the graph that was cut. */

const x = input('x', 'float32', [4, 6]);
const up = parameter('up', [8, 6]);
const down = parameter('down', [5, 8]);
const y = softmax(linear(gelu(linear(x, up)), down));
const dy = input('dy', 'float32', [4, 5]);

const inputsOf = (outputs: readonly Tensor[]) =>
  topologicalOrder(outputs).filter(({ operator }) => operator.name === 'input');
const nameOf = (tensor: Tensor) => (tensor.node.attributes as InputAttributes).name;

/** Values for every input, the same for the same name. */
function feeds(outputs: readonly Tensor[], known: ReadonlyMap<string, Values>): Map<Tensor, Values> {
  return new Map(
    inputsOf(outputs).map(({ outputs: [tensor] }) => [tensor!, known.get(nameOf(tensor!))!] as const),
  );
}

const random = new Random(5);
const values = new Map<string, Values>(
  [x, up, down, dy].map((tensor) => {
    const shape = tensor.shape as number[];
    const data = Float64Array.from({ length: sizeOf(shape) }, () => random.next() - 0.5);
    return [nameOf(tensor), { shape, data }];
  }),
);

const gradients = differentiate(y, [x, up, down], dy) as Tensor[];

describe('the seed of a gradient', () => {
  it('is the gradient that has reached the differentiated tensor', () => {
    const scalarProduct = reshape(reduceSum(mul(y, dy), [0, 1]), []);
    const expected = differentiate(scalarProduct, [x, up, down]) as Tensor[];
    const value = (outputs: Tensor[]) => evaluate(outputs, feeds(outputs, values));
    value(gradients).forEach(({ data, shape }, i) => {
      const other = value(expected)[i]!;
      expect(shape).toEqual(other.shape);
      data.forEach((number, at) => {
        expect(number).toBeCloseTo(other.data[at]!, 12);
      });
    });
  });

  it('must have the shape of that tensor', () => {
    expect(() => differentiate(y, [x], x)).toThrow(/the seed is float32\[4, 6\]/);
  });
});

describe('a graph cut where the gradient from behind comes in', () => {
  const cut = partition([y], gradients, dy, 'standard');

  it('keeps nothing that depends on that gradient, and repeats no product in the second half', () => {
    expect(inputsOf(cut.first).map(({ outputs: [tensor] }) => nameOf(tensor!))).not.toContain('dy');
    const products = (outputs: readonly Tensor[]) =>
      topologicalOrder(outputs).filter(({ operator }) => operator.name === 'matmul').length;
    expect(products(cut.first)).toBe(2);
    // One for the gradient of each layer's input, and one for that of its weight.
    expect(products(cut.second)).toBe(4);
    expect(cut.kept.map(({ shape }) => shape)).toEqual(cut.first.slice(1).map(({ shape }) => shape));
  });

  it('gives the same numbers in two runs as in one', () => {
    const [first, ...kept] = evaluate(cut.first, feeds(cut.first, values));
    expect(first!.data).toEqual(evaluate([y], feeds([y], values))[0]!.data);
    const later = new Map([...values, ...cut.kept.map(({ name }, i) => [name, kept[i]!] as const)]);
    const actual = evaluate(cut.second, feeds(cut.second, later));
    evaluate(gradients, feeds(gradients, values)).forEach(({ data }, i) => {
      data.forEach((number, at) => {
        expect(actual[i]!.data[at]).toBeCloseTo(number, 12);
      });
    });
  });
});

describe('substituting a tensor', () => {
  it('replaces it everywhere, and leaves what does not depend on it', () => {
    const other = parameter('other', [8, 6]);
    const [renamed] = substitute([y], new Map([[up, other]]));
    const names = inputsOf([renamed!]).map(({ outputs: [tensor] }) => nameOf(tensor!));
    expect(names.sort()).toEqual(['down', 'other', 'x']);
    const known = new Map([...values, ['other', values.get('up')!]]);
    expect(evaluate([renamed!], feeds([renamed!], known))[0]!.data).toEqual(
      evaluate([y], feeds([y], values))[0]!.data,
    );
    expect(substitute([y], new Map([[dy, x]]))[0]).toBe(y);
  });
});
