import type { Codec, Communicator, Pending, Sliced } from '../../ranks/communicator.ts';
import { aloneGradients, sumOfAll } from '../apply-gradients.ts';
import type { CombinedGradients, Together } from '../learner.ts';
import type { OptimizedParameter } from '../optimizers/optimizer.ts';
import type { Slices } from './slices.ts';

/** Weights are updated in groups of at least this many elements: while one is updated, the one before is on its way. */
const GROUP = 2 ** 22;

/** Nothing is sharded: every rank has the sums of all gradients, and updates all weights. */
export function summing(communicator: Communicator, codec: Codec | undefined): Together['combine'] {
  return async (gradients) => {
    await communicator.sum(
      gradients.map(({ gradient }) => gradient),
      codec,
    );
    return aloneGradients(gradients);
  };
}

/** Optimizer states are sharded: every rank has the sums of its slices, and updates those of the weights. */
export function scattering(
  communicator: Communicator,
  slices: Slices,
  codec: Codec | undefined,
): Together['combine'] {
  return async (gradients): Promise<CombinedGradients> => {
    const parts = gradients.map((parameter) => sliced(parameter.gradient, slices, parameter.name));
    await communicator.reduceScatter(parts, codec).wait();
    const own = gradients.flatMap((parameter) => ownPart(parameter, slices));
    return {
      own,
      async sumOfSquares(some) {
        const sum = Float64Array.of(sumOfAll(some));
        await communicator.sum([sum]);
        return sum[0]!;
      },
      async update(some, step) {
        const mine = new Map(some.map((parameter) => [parameter.name, parameter]));
        const pending: Pending[] = [];
        for (const group of groupsOf(gradients)) {
          step(group.flatMap(({ name }) => mine.get(name) ?? []));
          // A turn of the event loop, in which what is on its way makes progress.
          await new Promise((resolve) => setTimeout(resolve));
          pending.push(communicator.allGather(group.map(({ name, value }) => sliced(value, slices, name))));
        }
        for (const each of pending) await each.wait();
      },
    };
  };
}

/** This rank's part of a weight and its gradient; none if it has no elements. */
function ownPart(parameter: OptimizedParameter, slices: Slices): OptimizedParameter[] {
  const { start, end } = slices.rangeOf(parameter.name);
  if (start === end) return [];
  const { value, gradient } = parameter;
  return [
    {
      ...parameter,
      ...{ value: value.subarray(start, end), gradient: gradient.subarray(start, end), offset: start },
    },
  ];
}

function sliced(whole: Float32Array, slices: Slices, name: string): Sliced {
  const { start, end } = slices.rangeOf(name);
  return { whole, own: whole.subarray(start, end), bounds: slices.boundsOf(name) };
}

function* groupsOf(parameters: readonly OptimizedParameter[]): Generator<OptimizedParameter[]> {
  let group: OptimizedParameter[] = [];
  let size = 0;
  for (const parameter of parameters) {
    group.push(parameter);
    size += parameter.value.length;
    if (size < GROUP) continue;
    yield group;
    group = [];
    size = 0;
  }
  if (group.length > 0) yield group;
}
