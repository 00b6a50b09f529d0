import { sizeOf } from '../../graph/dims.ts';
import { mul, sub } from '../../graph/operators/index.ts';
import { sgd as descend } from '../../kernels/kernels.ts';
import { together } from '../../kernels/threads/together.ts';
import {
  checkedSettings,
  checkSteps,
  type OptimizedParameter,
  type Optimizer,
  type OptimizerState,
  type ParameterShape,
  rangeOf,
  type StepSettings,
} from './optimizer-common.ts';
import { defineOptimizer } from './record.ts';

export const sgd = defineOptimizer({
  name: 'sgd',
  options: {},
  defaults: {},
  stateBytes: () => 0,
  create: (parameters) => new Sgd(parameters),
  onDevice: {
    elementwise: true,
    layout: (shape) => [sizeOf(shape)],
    states: () => [],
    scalars: () => ({ one: 1 }),
    scaled: (_options, { learningRate }) => ({ rate: learningRate }),
    // The product by 1 is what reads the old value, which an operator may not read and write at once.
    graph: ({ value, gradient, scalars: s }) => ({
      value: sub(mul(value, s.one!), mul(gradient, s.rate!)),
      states: [],
    }),
  },
});

/** Plain stochastic gradient descent: value ← value − learning rate · gradient. Its only state is step counts. */
export class Sgd implements Optimizer {
  readonly bytesPerParameter = 0;
  #steps = new Map<string, number>();
  readonly #ends: ReadonlyMap<string, number>;

  /** @param parameters needed only where it updates ranges of weights. */
  constructor(parameters: Iterable<ParameterShape> = []) {
    this.#ends = new Map([...parameters].map((parameter) => [parameter.name, rangeOf(parameter).end]));
  }

  step(parameters: Iterable<OptimizedParameter>, settings: StepSettings): void {
    const { learningRate, gradientScale } = checkedSettings(settings);
    together(() => {
      for (const { name, shape, value, gradient, offset = 0 } of parameters) {
        descend(value, gradient, learningRate, gradientScale);
        // The last range of a weight's elements completes its step.
        const ends = offset + value.length === (this.#ends.get(name) ?? sizeOf(shape));
        this.#steps.set(name, (this.#steps.get(name) ?? 0) + (ends ? 1 : 0));
      }
    });
  }

  /** The state in a checkpoint: step counts. */
  state(): OptimizerState {
    return { steps: Object.fromEntries(this.#steps), tensors: new Map() };
  }

  restore(state: OptimizerState): void {
    checkSteps('Sgd', state.steps, Object.keys(state.steps));
    this.#steps = new Map(Object.entries(state.steps));
  }
}
