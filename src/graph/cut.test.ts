import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../random.ts';
import { cutGraph } from './cut.ts';
import { sizeOf } from './dims.ts';
import { evaluate } from './evaluate.ts';
import {
  add,
  type InputAttributes,
  input,
  inputOp,
  linear,
  mul,
  parameter,
  parameterName,
  tanh,
} from './operators/index.ts';
import { isNodeOf, type Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';
import type { Values } from './values.ts';

const sizeOfWeight = ({ shape }: Tensor) => sizeOf(shape as number[]);

/** Layers over [2, 4], each with a weight of its own, a mask from the input, and an earlier value. */
function layered(layers: readonly { readonly back: number; readonly isOutput: boolean }[]) {
  const x = input('x', 'float32', [2, 4]);
  const mask = tanh(mul(x, x));
  const values: Tensor[] = [x];
  const outputs = new Map<string, Tensor>([['mask', mask]]);
  layers.forEach(({ back, isOutput }, i) => {
    const previous = values.at(-1)!;
    const earlier = values.at(-1 - (back % values.length))!;
    const layer = add(mul(tanh(linear(previous, parameter(`w${i}`, [4, 4]))), mask), earlier);
    values.push(layer);
    if (isOutput || i === layers.length - 1) outputs.set(`layer${i}`, layer);
  });
  return outputs;
}

const inputsOf = (outputs: readonly Tensor[]) =>
  topologicalOrder(outputs).flatMap((node) => (isNodeOf(node, inputOp) ? [node.outputs[0]!] : []));
const nameOf = ({ node }: Tensor) => (node.attributes as InputAttributes).name;

/** Values by name; weights and inputs are drawn from their names. */
function drawn(tensor: Tensor, passed: ReadonlyMap<string, Values>): Values {
  const known = passed.get(nameOf(tensor));
  if (known) return known;
  const random = new Random([...nameOf(tensor)].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7));
  const shape = tensor.shape as number[];
  return { shape, data: Float64Array.from({ length: sizeOf(shape) }, () => random.nextGaussian()) };
}

function run(outputs: ReadonlyMap<string, Tensor>, passed: ReadonlyMap<string, Values>): Map<string, Values> {
  const roots = [...outputs.values()];
  const feeds = new Map(inputsOf(roots).map((tensor) => [tensor, drawn(tensor, passed)]));
  const values = evaluate(roots, feeds);
  return new Map([...outputs.keys()].map((name, i) => [name, values[i]!]));
}

describe('the parts of a graph', () => {
  it('compute together what the whole does, each weight in one part', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ back: fc.nat(3), isOutput: fc.boolean() }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 4 }),
        (layers, count) => {
          const outputs = layered(layers);
          const parts = cutGraph(outputs, sizeOfWeight, count);
          expect(parts.length).toBeLessThanOrEqual(count);
          const passed = new Map<string, Values>();
          const weights: string[] = [];
          for (const part of parts) {
            const names = inputsOf([...part.outputs.values()]).map(nameOf);
            expect(names.filter((name) => part.taken.has(name)).toSorted()).toEqual(
              [...part.taken].toSorted(),
            );
            for (const name of part.taken) expect(passed.has(name)).toBe(true);
            weights.push(...names.filter((name) => name.startsWith('w')));
            for (const [name, value] of run(part.outputs, passed)) passed.set(name, value);
          }
          expect(weights.toSorted()).toEqual(layers.map((_, i) => `w${i}`).toSorted());
          for (const [name, value] of run(outputs, new Map())) expect(passed.get(name)).toEqual(value);
        },
      ),
    );
  });

  it('have about the same weights', () => {
    const outputs = layered(Array.from({ length: 12 }, () => ({ back: 1, isOutput: false })));
    const weights = cutGraph(outputs, sizeOfWeight, 3).map(({ outputs: part }) =>
      topologicalOrder([...part.values()]).filter((node) => parameterName(node) !== undefined),
    );
    expect(weights.map((each) => each.length)).toEqual([4, 4, 4]);
  });

  it('is one where a weight is used at both ends', () => {
    const x = input('x', 'float32', [2, 4]);
    const weight = parameter('tied', [4, 4]);
    let value = linear(x, weight);
    for (let i = 0; i < 4; i++) value = linear(value, parameter(`w${i}`, [4, 4]));
    const outputs = new Map([['y', linear(value, weight)]]);
    expect(cutGraph(outputs, sizeOfWeight, 2)).toHaveLength(1);
  });
});
