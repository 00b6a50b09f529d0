import { z } from 'zod';
import { option as named, said } from '../../errors.ts';
import { sizeOf } from '../../graph/dims.ts';
import { add, div, mul, scalar, sqrt, sub } from '../../graph/operators/index.ts';
import { BLOCK } from '../../kernels/moment-kernels.ts';
import { together } from '../../kernels/threads/together.ts';
import { below1, notNegative, oneOf, option, parseOptions } from '../../options.ts';
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
import { decayOptions, defineOptimizer, type Means, matricesDecay, type Options } from './record.ts';

export const OPTIMIZER_STATES = ['float32', 'bfloat16', 'int8'] as const;

/** Storage of AdamW's averages: 8, 4 or 2.03 bytes per weight. `int8` is 8-bit floats in blocks of 256. */
export type OptimizerStates = (typeof OPTIMIZER_STATES)[number];

/** PyTorch's defaults. */
const DEFAULTS = {
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0.01,
  states: 'float32' as OptimizerStates,
  decays: matricesDecay,
};

const options = {
  beta1: option(below1, 'decay of the running mean of gradients', { value: 'b' }),
  beta2: option(below1, 'decay of the running mean of squared gradients', { value: 'b' }),
  eps: option(notNegative, 'added to the denominator', { value: 'e' }),
  ...decayOptions,
  states: option(oneOf(OPTIMIZER_STATES), 'storage type of the running means', { value: 'form' }),
};

/** All have defaults; see `adamw`. */
export interface AdamWOptions extends Partial<Options<typeof options>>, Means {}

export const adamw = defineOptimizer({
  name: 'adamw',
  options,
  defaults: DEFAULTS,
  stateBytes(shape, { states }) {
    const size = sizeOf(shape);
    return { float32: 8 * size, bfloat16: 4 * size, int8: 2 * size + 8 * Math.ceil(size / BLOCK) }[states];
  },
  create: (parameters, given) => new AdamW(parameters, given),
  onDevice: {
    elementwise: true,
    refuse: ({ states }) =>
      states === 'float32'
        ? undefined
        : said`it keeps its states in float32 there, not in ${states}. Choose ${named('states', 'float32')}, or ${named('optimizer', 'adafactor')}, whose states are small`,
    layout: (shape) => [sizeOf(shape)],
    states: (shape) => ['m', 'v'].map((prefix) => ({ prefix, shape, layout: [sizeOf(shape)] })),
    // p ← p · decay − stepSize · m / (√v + epsilon), where both corrections of the bias are in stepSize and epsilon.
    scalars({ beta1, beta2, eps, weightDecay }, { learningRate, step, decays }) {
      const root2 = Math.sqrt(1 - beta2 ** step);
      return {
        stepSize: (learningRate * root2) / (1 - beta1 ** step),
        epsilon: eps * root2,
        decay: 1 - learningRate * (decays ? weightDecay : 0),
      };
    },
    scaled: ({ beta1, beta2 }) => ({ share1: 1 - beta1, share2: Math.sqrt(1 - beta2) }),
    graph({ value, gradient, states: [m, v], scalars: s }, { beta1, beta2 }) {
      const root = mul(gradient, s.share2!);
      const newM = add(mul(m!, scalar(beta1)), mul(gradient, s.share1!));
      const newV = add(mul(v!, scalar(beta2)), mul(root, root));
      const update = mul(div(newM, add(sqrt(newV), s.epsilon!)), s.stepSize!);
      return { value: sub(mul(value, s.decay!), update), states: [newM, newV] };
    },
  },
});

/** AdamW (Loshchilov and Hutter, 2019), computed in the order of torch.optim.AdamW. */
export class AdamW implements Optimizer {
  /** Bytes of state per weight. */
  readonly bytesPerParameter: number;
  readonly #options: Options<typeof options>;
  readonly #moments: ReadonlyMap<string, Moments>;
  readonly #counts: StepCounts;

  /** @param parameters to update, as from `allocateTrainable` or a learner. */
  constructor(parameters: Iterable<ParameterShape>, given: AdamWOptions = {}) {
    const { memory = new HostMemory(), seed = 0, ...own } = given;
    this.#options = { ...DEFAULTS, ...parseOptions(z.strictObject(options).partial(), own) };
    const all = [...parameters];
    this.#counts = new StepCounts('AdamW', all);
    const { states } = this.#options;
    this.#moments = new Map(
      all.map((parameter) => [parameter.name, makeMoments(states, memory, parameter, seed)]),
    );
    const size = all.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    const bytes = [...this.#tensors().values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    this.bytesPerParameter = bytes / Math.max(1, size);
  }

  step(parameters: Iterable<OptimizedParameter>, settings: StepSettings): void {
    const { learningRate, gradientScale } = checkedSettings(settings);
    const { beta1, beta2, eps, weightDecay, decays } = this.#options;
    together(() => {
      for (const parameter of parameters) {
        const { name, shape, value, gradient } = parameter;
        const { step, offset } = this.#counts.begin(parameter);
        const coefficients = {
          lr: learningRate,
          beta1,
          beta2,
          eps,
          weightDecay: decays(name, shape) ? weightDecay : 0,
          biasCorrection1: 1 - beta1 ** step,
          biasCorrection2: 1 - beta2 ** step,
          gradScale: gradientScale,
        };
        this.#moments.get(name)!.update(value, gradient, offset, coefficients, step);
        this.#counts.end(parameter);
      }
    });
  }

  /** The state in a checkpoint: averages and step counts, by the names of the weights. */
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
  }
}
