import { sizeOf } from '../../graph/dims.ts';
import { broadcastTo, concat, input, mul, split } from '../../graph/operators/index.ts';
import { simplify } from '../../graph/simplify.ts';
import type { Tensor } from '../../graph/tensor.ts';
import { topologicalOrder } from '../../graph/traverse.ts';
import type { Engine } from '../../runtime/engine.ts';
import { Executable } from '../../runtime/executable.ts';
import type { StepOnDevice } from '../optimizers/record.ts';

/** Settings of all graphs of an optimizer: one that would partly run on the processor is refused. */
export const ON_DEVICE = { onDeviceOnly: true };

export type AnyOptions = Readonly<Record<string, unknown>>;
export type AnyStep = StepOnDevice<AnyOptions>;

/** The names of an update's inputs. */
export const valueName = (i: number): string => `value${i}`;
export const gradientName = (i: number): string => `gradient${i}`;
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

/** Whether a weight decays. */
export function decays(
  options: AnyOptions,
  { name, shape }: { readonly name: string; readonly shape: readonly number[] },
): boolean {
  const chosen = options.decays as ((name: string, shape: readonly number[]) => boolean) | undefined;
  return chosen?.(name, shape) ?? false;
}

/**
 * One step of some weights, for binding the new values and states to the tensors of the old ones.
 *
 * @param shapes of the weights; of an optimizer that is not elementwise, one. Several are updated as one vector, whose
 *   states are in one piece.
 * @throws Error if the new tensors may not be written over the old ones.
 */
export function updateGraph(
  step: AnyStep,
  options: AnyOptions,
  shapes: readonly (readonly number[])[],
): Map<string, Tensor> {
  const { own, scaled } = scalarNames(step, options);
  const layouts = shapes.map((shape) => step.layout(shape));
  const values = layouts.map((layout, i) => input(valueName(i), 'float32', layout));
  const gradients = layouts.map((layout, i) => input(gradientName(i), 'float32', layout));
  const states = statesOf(step, shapes).map((layout, i) => input(stateName(i), 'float32', layout));
  const scalars = Object.fromEntries([...own, ...scaled].map((name) => [name, input(name, 'float32', [1])]));
  const joined = (tensors: readonly Tensor[]) => (tensors.length > 1 ? concat(tensors, 0) : tensors[0]!);
  const weight = { value: joined(values), gradient: joined(gradients), states, scalars };
  const updated = step.graph(weight, options);
  const sizes = layouts.map((layout) => sizeOf(layout) as number);
  const newValues = sizes.length > 1 ? split(updated.value, 0, sizes) : [updated.value];
  const outputs = [...newValues, ...updated.states];
  checkInPlace([...values, ...states], outputs);
  const names = [...values.map((_, i) => valueName(i)), ...states.map((_, i) => stateName(i))];
  return new Map(outputs.map((tensor, i) => [newName(names[i]!), tensor]));
}

/** The shapes of the states of some weights that are updated together. */
export function statesOf(step: AnyStep, shapes: readonly (readonly number[])[]): (readonly number[])[] {
  if (shapes.length === 1) return step.states(shapes[0]!).map(({ layout }) => layout);
  const size = shapes.reduce((sum, shape) => sum + (sizeOf(shape) as number), 0);
  return step.states([size]).map(({ layout }) => layout);
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
    ON_DEVICE,
  );
}

export async function compileZeros(engine: Engine, size: number): Promise<Executable> {
  const zeros = broadcastTo(input('zero', 'float32', [1]), [size]);
  return Executable.compile(engine, new Map([['zeros', zeros]]), ON_DEVICE);
}
