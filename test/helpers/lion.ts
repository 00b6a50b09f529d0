import { sizeOf } from '../../src/graph/dims.ts';
import { below1, option } from '../../src/options.ts';
import { allocBeside, HostMemory } from '../../src/runtime/host-memory.ts';
import {
  checkedSettings,
  type OptimizedParameter,
  type OptimizerState,
  type ParameterShape,
  restoreTensors,
  type StateTensor,
  StepCounts,
  type StepSettings,
} from '../../src/training/optimizers/optimizer-common.ts';
import {
  decayOptions,
  defineOptimizer,
  type Means,
  matricesDecay,
  type Options,
  type SizedOptimizer,
} from '../../src/training/optimizers/record.ts';

const options = {
  beta1: option(below1, "how much of the step is the gradients' running mean", { value: 'b' }),
  beta2: option(below1, "how much of the gradients' running mean is kept each step", { value: 'b' }),
  ...decayOptions,
};

export const lion = defineOptimizer({
  name: 'lion',
  options,
  defaults: { beta1: 0.9, beta2: 0.99, weightDecay: 0, decays: matricesDecay },
  stateBytes: (shape) => 4 * sizeOf(shape),
  create: (parameters, given) => new Lion(parameters, given),
});

/** Lion (Chen et al. 2023, arXiv:2302.06675, algorithm 2): one running mean of gradients, and steps by signs. */
class Lion implements SizedOptimizer {
  readonly bytesPerParameter = 4;
  readonly #options: Options<typeof options>;
  readonly #counts: StepCounts;
  readonly #means: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

  constructor(
    parameters: readonly ParameterShape[],
    { memory = new HostMemory(), ...own }: Options<typeof options> & Means,
  ) {
    this.#options = own;
    this.#counts = new StepCounts('Lion', parameters);
    this.#means = new Map(
      parameters.map(({ name, shape, value }) => {
        const size = sizeOf(shape);
        const [bytes] = (value && allocBeside(value, [4 * size])) ?? memory.allocByteGroup([4 * size]);
        return [name, { shape, data: new Float32Array(bytes!.buffer, bytes!.byteOffset, size) }];
      }),
    );
  }

  step(parameters: Iterable<OptimizedParameter>, settings: StepSettings): void {
    const { learningRate, gradientScale } = checkedSettings(settings);
    const { beta1, beta2, weightDecay, decays } = this.#options;
    for (const parameter of parameters) {
      const { name, shape, value, gradient } = parameter;
      const { offset } = this.#counts.begin(parameter);
      const mean = this.#means.get(name)!.data.subarray(offset, offset + value.length);
      const decay = decays(name, shape) ? weightDecay : 0;
      for (let i = 0; i < value.length; i++) {
        const g = gradientScale * gradient[i]!;
        const direction = Math.sign(beta1 * mean[i]! + (1 - beta1) * g);
        value[i] = value[i]! - learningRate * (direction + decay * value[i]!);
        mean[i] = beta2 * mean[i]! + (1 - beta2) * g;
      }
      this.#counts.end(parameter);
    }
  }

  state(): OptimizerState {
    return { steps: this.#counts.state(), tensors: this.#tensors() };
  }

  restore({ steps, tensors }: OptimizerState): void {
    this.#counts.check(steps);
    restoreTensors('Lion', this.#tensors(), tensors);
    this.#counts.restore(steps);
  }

  #tensors(): Map<string, StateTensor> {
    return new Map(
      [...this.#means].map(([name, { shape, data }]) => [`m.${name}`, { dtype: 'F32', shape, data }]),
    );
  }
}
