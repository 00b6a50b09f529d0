import { RopewalkError } from '../../errors.ts';
import { sizeOf } from '../../graph/dims.ts';
import { HostMemory } from '../../runtime/host-memory.ts';
import { Bfloat16Moments, BlockMoments, Float32Moments, type Moments } from './moments.ts';
import {
  checkedSettings,
  type OptimizedParameter,
  type Optimizer,
  type OptimizerState,
  type ParameterShape,
  restoreTensors,
  type StateTensor,
  StepCounts,
  type StepSettings,
} from './optimizer-common.ts';

export const OPTIMIZER_STATES = ['float32', 'bfloat16', 'int8'] as const;

/** What AdamW keeps its averages in: 8, 4 or 2.03 bytes a weight. `int8` is 8-bit floats in blocks of 256. */
export type OptimizerStates = (typeof OPTIMIZER_STATES)[number];

export interface AdamWOptions {
  /** β1 and β2, each in [0, 1). Default 0.9 and 0.999. */
  readonly betas?: readonly [number, number];
  /** Added to the denominator. Default 1e-8. */
  readonly eps?: number;
  /** Share of a weight taken off each step, times the learning rate. Default 0.01. */
  readonly weightDecay?: number;
  /** Whether a parameter decays. Default: those of two or more dimensions, so neither norms nor biases. */
  readonly decays?: (name: string, shape: readonly number[]) => boolean;
  /** Default `float32`. */
  readonly states?: OptimizerStates;
  /** Of the rounding of states that are not float32: a whole number. The same seed gives the same bits. Default 0. */
  readonly seed?: number;
  /** Where the moments lie that find no room beside their weights. Default: memory of the optimizer's own. */
  readonly memory?: HostMemory;
}

/** AdamW (Loshchilov and Hutter, 2019), computed in the order of torch.optim.AdamW. */
export class AdamW implements Optimizer {
  /** Bytes of state for each weight. */
  readonly bytesPerParameter: number;
  readonly #betas: readonly [number, number];
  readonly #eps: number;
  readonly #weightDecay: number;
  readonly #decays: (name: string, shape: readonly number[]) => boolean;
  readonly #moments: ReadonlyMap<string, Moments>;
  readonly #counts: StepCounts;

  /** @param parameters those that will be updated, as from `allocateTrainable` or a training engine. */
  constructor(parameters: Iterable<ParameterShape>, options: AdamWOptions = {}) {
    this.#betas = options.betas ?? [0.9, 0.999];
    this.#eps = options.eps ?? 1e-8;
    this.#weightDecay = options.weightDecay ?? 0.01;
    this.#decays = options.decays ?? ((_name, shape) => shape.length >= 2);
    for (const beta of this.#betas) {
      if (!(beta >= 0 && beta < 1)) throw new RopewalkError(`AdamW: a beta is ${beta}; give 0 <= beta < 1.`);
    }
    if (!(this.#eps >= 0)) throw new RopewalkError(`AdamW: eps is ${this.#eps}; give 0 or more.`);
    if (!(this.#weightDecay >= 0)) {
      throw new RopewalkError(`AdamW: weightDecay is ${this.#weightDecay}; give 0 or more.`);
    }
    const all = [...parameters];
    this.#counts = new StepCounts('AdamW', all);
    const memory = options.memory ?? new HostMemory();
    const { states = 'float32', seed = 0 } = options;
    this.#moments = new Map(
      all.map((parameter) => [parameter.name, makeMoments(states, memory, parameter, seed)]),
    );
    const size = all.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    const bytes = [...this.#tensors().values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    this.bytesPerParameter = bytes / Math.max(1, size);
  }

  step(parameters: Iterable<OptimizedParameter>, settings: StepSettings): void {
    const { learningRate, gradientScale } = checkedSettings(settings);
    const [beta1, beta2] = this.#betas;
    for (const parameter of parameters) {
      const { name, shape, value, gradient } = parameter;
      const { step, offset } = this.#counts.begin(parameter);
      const coefficients = {
        lr: learningRate,
        beta1,
        beta2,
        eps: this.#eps,
        weightDecay: this.#decays(name, shape) ? this.#weightDecay : 0,
        biasCorrection1: 1 - beta1 ** step,
        biasCorrection2: 1 - beta2 ** step,
        gradScale: gradientScale,
      };
      this.#moments.get(name)!.update(value, gradient, offset, coefficients, step);
      this.#counts.end(parameter);
    }
  }

  /** What a checkpoint keeps: the moments and the counts of steps, by the names of the weights. */
  state(): OptimizerState {
    return { steps: this.#counts.state(), tensors: this.#tensors() };
  }

  restore(state: OptimizerState): void {
    this.#counts.check(state.steps);
    restoreTensors('AdamW', this.#tensors(), state.tensors);
    this.#counts.restore(state.steps);
  }

  #tensors(): Map<string, StateTensor> {
    return new Map([...this.#moments.values()].flatMap((moments) => moments.tensors()));
  }
}

function makeMoments(
  states: OptimizerStates,
  memory: HostMemory,
  parameter: ParameterShape,
  seed: number,
): Moments {
  switch (states) {
    case 'float32':
      return new Float32Moments(memory, parameter);
    case 'bfloat16':
      return new Bfloat16Moments(memory, parameter, seed);
    case 'int8':
      return new BlockMoments(memory, parameter, seed);
    default:
      throw new RopewalkError(
        `AdamW: there are no states "${String(states)}"; there are ${OPTIMIZER_STATES.join(', ')}.`,
      );
  }
}
