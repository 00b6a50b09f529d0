import { sizeOf } from '../../graph/dims.ts';
import { broadcastTo, input, mul } from '../../graph/operators/index.ts';
import { simplify } from '../../graph/simplify.ts';
import type { Tensor } from '../../graph/tensor.ts';
import { topologicalOrder } from '../../graph/traverse.ts';
import type { Engine } from '../../runtime/engine.ts';
import { Executable } from '../../runtime/executable.ts';
import type { StepOnDevice } from '../optimizers/record.ts';

export type AnyOptions = Readonly<Record<string, unknown>>;
export type AnyStep = StepOnDevice<AnyOptions>;

/** The name of a state in an update's graph. */
export const stateName = (i: number): string => `state${i}`;

/** The output that is bound to the tensor of an input. */
export const newName = (name: string): string => `new.${name}`;

/** The input of {@link compileScaled} for an output. */
export const factorName = (name: string): string => `${name}.factor`;

/** The numbers that every update reads: of the step, and those multiplied by the gradient scale. */
export function scalarNames(step: AnyStep, options: AnyOptions): { own: string[]; scaled: string[] } {
  const any = { learningRate: 1, step: 1, decays: true };
  return {
    own: Object.keys(step.scalars(options, any)),
    scaled: Object.keys(step.scaled(options, any)),
  };
}

/**
 * One step of a weight of this shape, for binding the new value and states to the tensors of the old ones.
 *
 * @throws Error if that would be wrong.
 */
export function updateGraph(
  step: AnyStep,
  options: AnyOptions,
  shape: readonly number[],
): Map<string, Tensor> {
  const { own, scaled } = scalarNames(step, options);
  const layout = step.layout(shape);
  const value = input('value', 'float32', layout);
  const states = step.states(shape).map((state, i) => input(stateName(i), 'float32', state.layout));
  const scalars = Object.fromEntries([...own, ...scaled].map((name) => [name, input(name, 'float32', [1])]));
  const gradient = input('gradient', 'float32', layout);
  const updated = step.graph({ value, gradient, states, scalars }, options);
  const outputs = [updated.value, ...updated.states];
  checkInPlace([value, ...states], outputs);
  return new Map(outputs.map((tensor, i) => [newName(i === 0 ? 'value' : stateName(i - 1)), tensor]));
}

/**
 * Whether new tensors may be written over old ones: no operator that still has to run reads an old one, and none reads
 * and writes the same memory.
 */
function checkInPlace(olds: readonly Tensor[], news: readonly Tensor[]): void {
  const roots = simplify(news, 'webgpu');
  const order = topologicalOrder(roots);
  olds.forEach((old, i) => {
    const readers = order.filter((node) => node.inputs.includes(old));
    const before = new Set(topologicalOrder([roots[i]!]));
    const writer = roots[i]!.node;
    if (readers.some((reader) => reader === writer || !before.has(reader)))
      throw new Error(
        'a new value cannot be written over the old one: it is read elsewhere, or by the operator that writes it',
      );
  });
}

/** The factors of the gradient, each multiplied by the scale. */
export async function compileScaled(engine: Engine, names: readonly string[]): Promise<Executable> {
  const scale = input('scale', 'float32', [1]);
  return Executable.compile(
    engine,
    new Map(names.map((name) => [newName(name), mul(scale, input(factorName(name), 'float32', [1]))])),
  );
}

/** Zeros, since the content of new tensors is undefined. */
export async function compileZeros(engine: Engine, shape: readonly number[]): Promise<Executable> {
  return Executable.compile(
    engine,
    new Map([['zeros', broadcastTo(input('zero', 'float32', [1]), [sizeOf(shape)])]]),
  );
}
