import { RopewalkError } from '../errors.ts';
import type { HostMemory } from '../runtime/host-memory.ts';
import { adamw, sgd } from '../runtime/kernels.ts';

/** A weight with its gradient, both of product(shape) elements. */
export interface OptimizedParameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly value: Float32Array;
  readonly gradient: Float32Array;
}

/** AdamW's running averages for one parameter: m of the gradient, v of its square. Zeros before the first step. */
export interface Moments {
  readonly name: string;
  readonly shape: readonly number[];
  readonly m: Float32Array;
  readonly v: Float32Array;
}

/** All arrays that training keeps for one parameter. */
export interface Trainable extends OptimizedParameter, Moments {}

export interface StepSettings {
  /** Learning rate of this step, see {@link file://./schedule.ts createSchedule}. */
  readonly learningRate: number;
  /** Factor of every gradient before use, such as clipping's coefficient. Default 1. */
  readonly gradientScale?: number;
}

/** What a checkpoint keeps of an optimizer. The arrays are the optimizer's own, not copies. */
export interface OptimizerState {
  /** Steps made so far, by parameter. */
  readonly steps: Readonly<Record<string, number>>;
  /** Arrays by name, ready for a safetensors file: AdamW has `m.<parameter>` and `v.<parameter>`. */
  readonly tensors: ReadonlyMap<string, { readonly data: Float32Array; readonly shape: readonly number[] }>;
}

export interface Optimizer {
  /**
   * Updates the values in place. Any part of the parameters may be given, as soon as their gradients exist: steps are
   * counted for each parameter by itself.
   */
  step(parameters: Iterable<OptimizedParameter>, settings: StepSettings): void;
  state(): OptimizerState;
  /** Copies a state into this optimizer's own arrays. Nothing changes when it does not fit. */
  restore(state: OptimizerState): void;
}

/**
 * Zeroed arrays for training these parameters. The four arrays of one parameter lie on one memory, which the kernels
 * need for full speed; all parameters are packed into as few memories as hold them: 16 bytes a weight.
 */
export function allocateTrainable(
  memory: HostMemory,
  parameters: readonly { readonly name: string; readonly shape: readonly number[] }[],
): Trainable[] {
  const groups = memory.allocGroups(parameters.map(({ shape }) => new Array<number>(4).fill(sizeOf(shape))));
  return parameters.map(({ name, shape }, i) => {
    const [value, gradient, m, v] = groups[i] as [Float32Array, Float32Array, Float32Array, Float32Array];
    return { name, shape, value, gradient, m, v };
  });
}

export interface AdamWOptions {
  /** β1 and β2, each in [0, 1). Default 0.9 and 0.999. */
  readonly betas?: readonly [number, number];
  /** Added to the denominator. Default 1e-8. */
  readonly eps?: number;
  /** Share of a weight taken off each step, times the learning rate. Default 0.01. */
  readonly weightDecay?: number;
  /** Whether a parameter decays. Default: those of two or more dimensions, so neither norms nor biases. */
  readonly decays?: (name: string, shape: readonly number[]) => boolean;
}

/** AdamW (Loshchilov and Hutter, 2019), computed in the order of torch.optim.AdamW. */
export class AdamW implements Optimizer {
  private readonly betas: readonly [number, number];
  private readonly eps: number;
  private readonly weightDecay: number;
  private readonly decays: (name: string, shape: readonly number[]) => boolean;
  private readonly moments: ReadonlyMap<string, Moments>;
  private readonly steps = new Map<string, number>();

  /** @param moments for every parameter that will be updated, as from {@link allocateTrainable}. */
  constructor(moments: Iterable<Moments>, options: AdamWOptions = {}) {
    this.betas = options.betas ?? [0.9, 0.999];
    this.eps = options.eps ?? 1e-8;
    this.weightDecay = options.weightDecay ?? 0.01;
    this.decays = options.decays ?? ((_name, shape) => shape.length >= 2);
    for (const beta of this.betas) {
      if (!(beta >= 0 && beta < 1)) throw new RopewalkError(`AdamW: a beta is ${beta}; give 0 <= beta < 1.`);
    }
    if (!(this.eps >= 0)) throw new RopewalkError(`AdamW: eps is ${this.eps}; give 0 or more.`);
    if (!(this.weightDecay >= 0)) {
      throw new RopewalkError(`AdamW: weightDecay is ${this.weightDecay}; give 0 or more.`);
    }
    const byName = new Map<string, Moments>();
    for (const entry of moments) {
      if (byName.has(entry.name))
        throw new RopewalkError(`AdamW: the parameter ${entry.name} is given twice.`);
      byName.set(entry.name, entry);
      this.steps.set(entry.name, 0);
    }
    this.moments = byName;
  }

  step(parameters: Iterable<OptimizedParameter>, settings: StepSettings): void {
    const { learningRate, gradientScale } = checkedSettings(settings);
    const [beta1, beta2] = this.betas;
    for (const { name, shape, value, gradient } of parameters) {
      const moments = this.moments.get(name);
      if (!moments) {
        throw new RopewalkError(`AdamW has no moments for ${name}; give them when the optimizer is made.`);
      }
      const step = this.steps.get(name)! + 1;
      adamw(value, gradient, moments.m, moments.v, {
        lr: learningRate,
        beta1,
        beta2,
        eps: this.eps,
        weightDecay: this.decays(name, shape) ? this.weightDecay : 0,
        biasCorrection1: 1 - beta1 ** step,
        biasCorrection2: 1 - beta2 ** step,
        gradScale: gradientScale,
      });
      this.steps.set(name, step);
    }
  }

  state(): OptimizerState {
    const tensors = new Map<string, { data: Float32Array; shape: readonly number[] }>();
    for (const { name, shape, m, v } of this.moments.values()) {
      tensors.set(`m.${name}`, { data: m, shape });
      tensors.set(`v.${name}`, { data: v, shape });
    }
    return { steps: Object.fromEntries(this.steps), tensors };
  }

  restore(state: OptimizerState): void {
    const own = this.state();
    checkSteps('AdamW', state.steps, this.steps.keys());
    for (const [name, { data }] of own.tensors) {
      const saved = state.tensors.get(name);
      if (!saved) throw new RopewalkError(`AdamW: the saved state has no ${name}; it is of another model.`);
      if (saved.data.length !== data.length) {
        throw new RopewalkError(
          `AdamW: the saved ${name} has ${saved.data.length} elements, but the model needs ${data.length}.`,
        );
      }
    }
    for (const [name, { data }] of own.tensors) data.set(state.tensors.get(name)!.data);
    for (const name of this.steps.keys()) this.steps.set(name, state.steps[name]!);
  }
}

/** Plain stochastic gradient descent: value ← value − learning rate · gradient. It keeps nothing but step counts. */
export class Sgd implements Optimizer {
  private steps = new Map<string, number>();

  step(parameters: Iterable<OptimizedParameter>, settings: StepSettings): void {
    const { learningRate, gradientScale } = checkedSettings(settings);
    for (const { name, value, gradient } of parameters) {
      sgd(value, gradient, learningRate, gradientScale);
      this.steps.set(name, (this.steps.get(name) ?? 0) + 1);
    }
  }

  state(): OptimizerState {
    return { steps: Object.fromEntries(this.steps), tensors: new Map() };
  }

  restore(state: OptimizerState): void {
    checkSteps('Sgd', state.steps, Object.keys(state.steps));
    this.steps = new Map(Object.entries(state.steps));
  }
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function checkedSettings({ learningRate, gradientScale = 1 }: StepSettings): Required<StepSettings> {
  if (!(Number.isFinite(learningRate) && learningRate >= 0)) {
    throw new RopewalkError(`the learning rate is ${learningRate}; give a number of 0 or more.`);
  }
  // A scale that is not finite would turn every weight into NaN.
  if (!Number.isFinite(gradientScale)) {
    throw new RopewalkError(
      `the gradient scale is ${gradientScale}: the gradients have overflowed; lower the learning rate or skip the step.`,
    );
  }
  return { learningRate, gradientScale };
}

function checkSteps(optimizer: string, saved: OptimizerState['steps'], names: Iterable<string>): void {
  for (const name of names) {
    const step = saved[name];
    if (step === undefined || !Number.isSafeInteger(step) || step < 0) {
      throw new RopewalkError(
        `${optimizer}: the saved step count of ${name} is ${step ?? 'missing'}; the state is of another model or damaged.`,
      );
    }
  }
}
