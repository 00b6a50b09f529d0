import { RopewalkError } from '../../errors.ts';
import { sizeOf } from '../../graph/dims.ts';

/** A weight with its gradient, both of product(shape) elements, or a range of their elements. */
export interface OptimizedParameter {
  readonly name: string;
  /** The shape of the whole weight. */
  readonly shape: readonly number[];
  readonly value: Float32Array;
  readonly gradient: Float32Array;
  /**
   * Set if `value` and `gradient` are a range of the weight's elements: where it begins, row-major. The ranges of a
   * step must be passed in order, from 0 to the weight's end, where the step is counted.
   */
  readonly offset?: number;
}

/** A weight for which an optimizer is made. Its state is allocated next to the value, if there is one and room. */
export interface ParameterShape {
  readonly name: string;
  readonly shape: readonly number[];
  readonly value?: Float32Array;
}

export interface StepSettings {
  /** Learning rate of this step; see `createSchedule`. */
  readonly learningRate: number;
  /** Factor of every gradient, such as the clipping coefficient. Default 1. */
  readonly gradientScale?: number;
}

/** A tensor as stored in a safetensors file. */
export type StateTensor = { readonly shape: readonly number[] } & (
  | { readonly dtype: 'F32'; readonly data: Float32Array }
  /** The upper halves of float32s. */
  | { readonly dtype: 'BF16'; readonly data: Uint16Array }
  | { readonly dtype: 'U8'; readonly data: Uint8Array }
);

/** An optimizer's state in a checkpoint. The arrays are the optimizer's own, not copies. */
export interface OptimizerState {
  /** Steps so far, by parameter. */
  readonly steps: Readonly<Record<string, number>>;
  /** Arrays by name, ready for a safetensors file: AdamW has `m.<parameter>` and `v.<parameter>`. */
  readonly tensors: ReadonlyMap<string, StateTensor>;
}

export interface Optimizer {
  /**
   * Updates the values in place. Any subset of the parameters may be passed, as soon as their gradients exist: steps
   * are counted per parameter.
   */
  step(parameters: Iterable<OptimizedParameter>, settings: StepSettings): void;
  state(): OptimizerState;
  /** Copies a state into this optimizer's own arrays. If it does not fit, nothing changes. */
  restore(state: OptimizerState): void;
}

export function checkedSettings({ learningRate, gradientScale = 1 }: StepSettings): Required<StepSettings> {
  if (!(Number.isFinite(learningRate) && learningRate >= 0)) {
    throw new RopewalkError(`the learning rate is ${learningRate}; give a number of 0 or more.`);
  }
  // A non-finite scale would turn every weight into NaN.
  if (!Number.isFinite(gradientScale)) {
    throw new RopewalkError(
      `the gradient scale is ${gradientScale}: the gradients have overflowed; lower the learning rate or skip the step.`,
    );
  }
  return { learningRate, gradientScale };
}

/** @throws RopewalkError if a parameter's saved step count is missing or invalid. */
export function checkSteps(optimizer: string, saved: OptimizerState['steps'], names: Iterable<string>): void {
  for (const name of names) {
    const step = saved[name];
    if (step === undefined || !Number.isSafeInteger(step) || step < 0) {
      throw new RopewalkError(
        `${optimizer}: the saved step count of ${name} is ${step ?? 'missing'}; the state belongs to another model or is damaged.`,
      );
    }
  }
}

/** Step counts by parameter; checks that the ranges of a parameter's elements come in order. */
export class StepCounts {
  readonly #sizes: ReadonlyMap<string, number>;
  #steps: Map<string, number>;
  /** Where the next range of an unfinished step must start. */
  readonly #begun = new Map<string, number>();

  readonly #optimizer: string;

  /** @param optimizer its name, for messages. */
  constructor(optimizer: string, parameters: Iterable<ParameterShape>) {
    this.#optimizer = optimizer;
    const sizes = new Map<string, number>();
    for (const { name, shape } of parameters) {
      if (sizes.has(name)) throw new RopewalkError(`${optimizer}: the parameter ${name} is listed twice.`);
      sizes.set(name, sizeOf(shape));
    }
    this.#sizes = sizes;
    this.#steps = new Map([...sizes.keys()].map((name) => [name, 0]));
  }

  /**
   * Checks the arguments of a step.
   *
   * @returns the step count of this parameter, from 1, and where its elements begin.
   */
  begin({ name, value, gradient, offset = 0 }: OptimizedParameter): { step: number; offset: number } {
    const optimizer = this.#optimizer;
    const size = this.#sizes.get(name);
    if (size === undefined) {
      throw new RopewalkError(
        `${optimizer} has no state for ${name}; pass the parameter when creating the optimizer.`,
      );
    }
    if (gradient.length !== value.length) {
      throw new RopewalkError(
        `${optimizer}: ${name} has ${value.length} elements and its gradient ${gradient.length}; give arrays of one length.`,
      );
    }
    const expected = this.#begun.get(name) ?? 0;
    if (offset !== expected || offset + value.length > size) {
      throw new RopewalkError(
        `${optimizer}: ${name} has ${size} elements, and the next range must begin at ${expected}, but ${value.length} elements from ` +
          `${offset} were passed; pass a step's ranges in order.`,
      );
    }
    return { step: this.#steps.get(name)! + 1, offset };
  }

  /** Records that the range passed to {@link begin} is updated. */
  end({ name, value }: OptimizedParameter): void {
    const next = (this.#begun.get(name) ?? 0) + value.length;
    if (next < this.#sizes.get(name)!) {
      this.#begun.set(name, next);
      return;
    }
    this.#begun.delete(name);
    this.#steps.set(name, this.#steps.get(name)! + 1);
  }

  state(): Record<string, number> {
    return Object.fromEntries(this.#steps);
  }

  /** @throws RopewalkError if the counts belong to other parameters. */
  check(saved: OptimizerState['steps']): void {
    checkSteps(this.#optimizer, saved, this.#sizes.keys());
  }

  restore(saved: OptimizerState['steps']): void {
    this.check(saved);
    this.#begun.clear();
    for (const name of this.#sizes.keys()) this.#steps.set(name, saved[name]!);
  }
}

/** Copies saved tensors into an optimizer's own, if all of them fit. */
export function restoreTensors(
  optimizer: string,
  own: ReadonlyMap<string, StateTensor>,
  saved: OptimizerState['tensors'],
): void {
  for (const [name, tensor] of own) {
    const { dtype, data } = saved.get(name) ?? {};
    checkTensor(optimizer, name, tensor, data && dtype && { dtype, elements: data.length });
  }
  for (const [name, { data }] of own) {
    const from = saved.get(name)!.data;
    if (from !== data) data.set(from);
  }
}

/** @throws RopewalkError if a saved tensor differs in type or size from the optimizer's own. */
export function checkTensor(
  optimizer: string,
  name: string,
  own: StateTensor,
  saved: { readonly dtype: string; readonly elements: number } | undefined,
): void {
  if (!saved) {
    throw new RopewalkError(
      `${optimizer}: the saved state has no ${name}; it belongs to another model or optimizer.`,
    );
  }
  const { dtype, elements } = saved;
  if (elements !== own.data.length) {
    throw new RopewalkError(
      `${optimizer}: the saved ${name} has ${elements} elements, but the model needs ${own.data.length}.`,
    );
  }
  if (dtype !== own.dtype) {
    throw new RopewalkError(
      `${optimizer}: the saved ${name} is ${dtype}, but this run keeps ${own.dtype}; resume with the optimizer ` +
        'states that the run was started with.',
    );
  }
}
