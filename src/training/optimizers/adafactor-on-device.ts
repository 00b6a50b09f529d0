import { sizeOf } from '../../graph/dims.ts';
import {
  add,
  div,
  maximum,
  mul,
  reduceMean,
  reduceSumSquare,
  reshape,
  scalar,
  sqrt,
  sub,
} from '../../graph/operators/index.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { StepOnDevice, WeightOnDevice } from './record.ts';
import { columnSums, sumOfSquares } from './sums.ts';

interface AdafactorNumbers {
  readonly beta2Decay: number;
  readonly epsilons: [number, number];
  readonly clipThreshold: number;
  readonly weightDecay: number;
}

/** Adafactor's step on a device; `Adafactor` explains it. */
export const adafactorOnDevice: StepOnDevice<AdafactorNumbers> = {
  layout: (shape) => (shape.length < 2 ? [sizeOf(shape)] : matrices(shape)),
  states(shape) {
    if (shape.length < 2) return [{ prefix: 'variance', shape, layout: [sizeOf(shape)] }];
    const [count, height, width] = matrices(shape);
    const outer = shape.slice(0, -2);
    return [
      { prefix: 'row', shape: [...outer, height], layout: [count, height, 1] },
      { prefix: 'column', shape: [...outer, width], layout: [count, 1, width] },
    ];
  },
  scalars({ beta2Decay, weightDecay }, { learningRate, step, decays }) {
    const share = step ** beta2Decay;
    return {
      share,
      keep: 1 - share,
      rho: Math.min(learningRate, 1 / Math.sqrt(step)),
      decay: 1 - learningRate * (decays ? weightDecay : 0),
    };
  },
  scaled: () => ({ scale: 1 }),
  graph(weight, options) {
    const gradient = mul(weight.gradient, weight.scalars.scale!);
    const { root, states } =
      weight.value.rank === 1 ? vector(weight, gradient, options) : matrix(weight, gradient, options);
    const update = div(gradient, root);
    const { value, scalars: s } = weight;
    const size = scalar(1 / (sizeOf(value.shape) as number));
    const rootMeanSquare = (x: Tensor) => sqrt(mul(sumOfSquares([x]), size));
    const alpha = mul(maximum(rootMeanSquare(value), scalar(options.epsilons[1])), s.rho!);
    const clip = maximum(mul(rootMeanSquare(update), scalar(1 / options.clipThreshold)), scalar(1));
    return { value: sub(mul(value, s.decay!), mul(update, div(alpha, clip))), states };
  },
};

/** Every step's variances enter the averages: average · keep + new · share. */
function moved(average: Tensor, x: Tensor, { keep, share }: WeightOnDevice['scalars']): Tensor {
  return add(mul(average, keep!), mul(x, share!));
}

/** The root of a matrix's variances, the products of a row and a column. */
function matrix(
  { states, scalars }: WeightOnDevice,
  gradient: Tensor,
  { epsilons: [floor] }: AdafactorNumbers,
) {
  const [count, height, width] = gradient.shape as [number, number, number];
  const rows = moved(states[0]!, mul(reduceSumSquare(gradient, [2]), scalar(1 / width)), scalars);
  const sums = columnSums(mul(gradient, gradient));
  const columns = moved(states[1]!, mul(sums, scalar(1 / height)), scalars);
  const mean = reshape(reduceMean(reshape(rows, [count, height]), [1]), [count, 1, 1]);
  const variances = mul(div(rows, maximum(mean, scalar(floor))), columns);
  return { root: sqrt(maximum(variances, scalar(floor ** 2))), states: [rows, columns] };
}

function vector(
  { states, scalars }: WeightOnDevice,
  gradient: Tensor,
  { epsilons: [floor] }: AdafactorNumbers,
) {
  const variance = moved(states[0]!, mul(gradient, gradient), scalars);
  return { root: sqrt(maximum(variance, scalar(floor ** 2))), states: [variance] };
}

function matrices(shape: readonly number[]): [number, number, number] {
  return [sizeOf(shape.slice(0, -2)), shape.at(-2)!, shape.at(-1)!];
}
