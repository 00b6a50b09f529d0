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
   * step must be passed in order, from the first element that the optimizer updates to the last, where the step is counted.
   */
  readonly offset?: number;
}

/** A weight for which an optimizer is made. Its state is allocated next to the value, if there is one and room. */
export interface ParameterShape {
  readonly name: string;
  readonly shape: readonly number[];
  readonly value?: Float32Array;
  /** The elements that this optimizer updates; default all. `value` has only those. */
  readonly range?: Range;
}

/** Elements of a weight, row-major: from `start`, before `end`. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** The elements of a weight that its optimizer updates. */
export function rangeOf({ shape, range }: ParameterShape): Range {
  return range ?? { start: 0, end: sizeOf(shape) };
}

export interface StepSettings {
  /** Learning rate of this step; see `createSchedule`. */
  readonly learningRate: number;
  /** Factor of every gradient, such as the clipping coefficient. Default 1. */
  readonly gradientScale?: number;
}

/** A tensor as stored in a safetensors file, or a range of its elements. */
export type StateTensor = {
  /** Of the whole tensor. */
  readonly shape: readonly number[];
  /** The element that `data` begins with. Default 0. */
  readonly start?: number;
} & (
  | { readonly dtype: 'F32'; readonly data: Float32Array }
  /** The upper halves of float32s. */
  | { readonly dtype: 'BF16'; readonly data: Uint16Array }
  | { readonly dtype: 'U8'; readonly data: Uint8Array }
);

/**
 * An optimizer's state in a checkpoint. The arrays are the optimizer's own, not copies; on a device, each use of `data` reads
 * the tensor from there.
 */
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
  readonly #ranges: ReadonlyMap<string, Range>;
  #steps: Map<string, number>;
  /** Where the next range of an unfinished step must start. */
  readonly #begun = new Map<string, number>();

  readonly #optimizer: string;

  /** @param optimizer its name, for messages. */
  constructor(optimizer: string, parameters: Iterable<ParameterShape>) {
    this.#optimizer = optimizer;
    const ranges = new Map<string, Range>();
    for (const parameter of parameters) {
      const { name } = parameter;
      if (ranges.has(name)) throw new RopewalkError(`${optimizer}: the parameter ${name} is listed twice.`);
      ranges.set(name, rangeOf(parameter));
    }
    this.#ranges = ranges;
    this.#steps = new Map([...ranges.keys()].map((name) => [name, 0]));
  }

  /**
   * Checks the arguments of a step.
   *
   * @returns the step count of this parameter, from 1, and where its elements begin.
   */
  begin({ name, value, gradient, offset = 0 }: OptimizedParameter): { step: number; offset: number } {
    const optimizer = this.#optimizer;
    const range = this.#ranges.get(name);
    if (range === undefined) {
      throw new RopewalkError(
        `${optimizer} has no state for ${name}; pass the parameter when creating the optimizer.`,
      );
    }
    if (gradient.length !== value.length) {
      throw new RopewalkError(
        `${optimizer}: ${name} has ${value.length} elements and its gradient ${gradient.length}; give arrays of one length.`,
      );
    }
    const expected = this.#begun.get(name) ?? range.start;
    if (offset !== expected || offset + value.length > range.end) {
      throw new RopewalkError(
        `${optimizer}: ${name} has ${range.end - range.start} elements, and the next range must begin at ${expected}, but ${value.length} elements from ` +
          `${offset} were passed; pass a step's ranges in order.`,
      );
    }
    return { step: this.#steps.get(name)! + 1, offset };
  }

  /** Records that the range passed to {@link begin} is updated. */
  end({ name, value }: OptimizedParameter): void {
    const { start, end } = this.#ranges.get(name)!;
    const next = (this.#begun.get(name) ?? start) + value.length;
    if (next < end) {
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
    checkSteps(this.#optimizer, saved, this.#ranges.keys());
  }

  restore(saved: OptimizerState['steps']): void {
    this.check(saved);
    this.#begun.clear();
    for (const name of this.#ranges.keys()) this.#steps.set(name, saved[name]!);
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
    checkTensor(
      optimizer,
      name,
      { dtype: tensor.dtype, elements: tensor.data.length },
      data && dtype && { dtype, elements: data.length },
    );
  }
  for (const [name, { data }] of own) {
    const from = saved.get(name)!.data;
    if (from !== data) data.set(from);
  }
}

interface TensorSize {
  readonly dtype: string;
  readonly elements: number;
}

/** @throws RopewalkError if a saved tensor differs in type or size from the optimizer's own. */
export function checkTensor(
  optimizer: string,
  name: string,
  own: TensorSize,
  saved: TensorSize | undefined,
): void {
  if (!saved) {
    throw new RopewalkError(
      `${optimizer}: the saved state has no ${name}; it belongs to another model or optimizer.`,
    );
  }
  const { dtype, elements } = saved;
  if (elements !== own.elements) {
    throw new RopewalkError(
      `${optimizer}: the saved ${name} has ${elements} elements, but the model needs ${own.elements}.`,
    );
  }
  if (dtype !== own.dtype) {
    throw new RopewalkError(
      `${optimizer}: the saved ${name} is ${dtype}, but this run keeps ${own.dtype}; resume with the optimizer ` +
        'states that the run was started with.',
    );
  }
}
