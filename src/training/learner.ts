import type { TrainingRows } from '../batches.ts';
import type { CausalLM } from '../families/family.ts';
import type { DeviceMemory } from '../runtime/device.ts';
import type { SequenceShape } from './graph.ts';
import type { LossScale } from './loss-scale.ts';
import type { DeviceParameter } from './on-device/device-optimizer.ts';
import type { OptimizedParameter, Optimizer, Range } from './optimizers/optimizer.ts';
import type { Slices } from './parallel/slices.ts';

/** A trained weight, or the range of its elements that this process updates. */
export interface TrainedParameter {
  readonly name: string;
  /** Of the whole weight. */
  readonly shape: readonly number[];
  readonly value: Float32Array;
  readonly range?: Range;
}

/** The other ranks of a step, each of which computes on a share of its rows. */
export interface Together {
  /** Counted tokens of the step on all ranks. */
  readonly tokens: number;
  /** The losses of all ranks, each its share of the mean over {@link tokens}, added up. */
  sumLoss(loss: number): Promise<number>;
  /** Adds up gradients over all ranks. Their arrays are used until the update is done. */
  combine(gradients: readonly OptimizedParameter[]): Promise<CombinedGradients>;
}

/** Gradients of a whole step. */
export interface CombinedGradients {
  /** What this process updates: all of the weights, or ranges of them. */
  readonly own: readonly OptimizedParameter[];
  /** Σ x² of the gradients of `own`, or of some of them, over all ranks. */
  sumOfSquares(own: readonly OptimizedParameter[]): Promise<number>;
  /** Updates `own`, or some of them, a few at a time, and gives the other ranks what they do not update themselves. */
  update(
    own: readonly OptimizedParameter[],
    step: (parameters: readonly OptimizedParameter[]) => void,
  ): Promise<void>;
}

export interface UpdateSettings {
  /** Set where this learner computes on a share of the step's rows: the result is that of all of them. */
  readonly together?: Together;
  readonly optimizer: Optimizer;
  readonly learningRate: number;
  /** Gradients are scaled down to this norm; 0 for no clipping. The learner defines what the norm covers. */
  readonly clip: number;
  /**
   * Called before anything is updated; if it returns false, the weights stay unchanged. A learner that updates during
   * the backward pass calls it before that pass, without a gradient norm.
   */
  readonly accept?: (measured: { readonly loss: number; readonly gradientNorm?: number }) => boolean;
  /** What of the trained parameters is updated, and counts in the gradient norm; default all of them. */
  readonly select?: (parameters: readonly OptimizedParameter[]) => readonly OptimizedParameter[];
}

export interface StepResult {
  /** Mean loss in nats over the counted tokens of all micro-batches, before the update. */
  readonly loss: number;
  /** Counted tokens. */
  readonly tokens: number;
  /** Global gradient norm before clipping. */
  readonly gradientNorm: number;
  /** False if {@link UpdateSettings.accept} returned false, or for {@link overflowed}. */
  readonly updated: boolean;
  /**
   * Set where gradients were not finite in float16 although the loss was multiplied by this factor only: nothing was updated, or, where
   * weights are updated during the backward pass, not those whose gradients they were.
   */
  readonly overflowed?: number;
}

/** The trained weights of a learner in the memory of a device. */
export interface OnDevice {
  readonly memory: DeviceMemory;
  readonly parameters: readonly DeviceParameter[];
  /** The names that each update of a step covers: see `DeviceOptimizer.prepare`. */
  readonly updates: readonly (readonly string[])[];
  /** Has something on the device released when the learner is, before its memory. */
  releaseToo(other: { release(): Promise<void> }): void;
}

/**
 * Performs training steps: holds the weights in host memory and the compiled passes. There are two: the whole graph
 * at once (`whole-graph-learner.ts`), fast, and block by block (`blocks/block-learner.ts`), in less memory.
 */
export interface Learner {
  readonly model: CausalLM;
  readonly shape: SequenceShape;
  /** The trained weights; frozen ones are only in {@link values}. None where they are {@link onDevice}. */
  readonly parameters: readonly TrainedParameter[];
  /** Set where the weights are in the memory of a device. */
  readonly onDevice?: OnDevice | undefined;
  /** Set where products are in float16: what the loss is multiplied by. A checkpoint has its state. */
  readonly lossScale?: LossScale | undefined;
  /** Set where weights are sharded: this process has only its slices of them. */
  readonly slices?: Slices | undefined;
  /**
   * All current weights by path, to be read; if they are sharded, this process's slices of them. To change weights, use
   * {@link fill}. Those on a device are read from there one by one, as the map is used.
   */
  values(): ReadonlyMap<string, Float32Array> | Promise<ReadonlyMap<string, Float32Array>>;
  /** Changes weights: `write` gets the arrays of all of them, or of this process's slices, and must set every element. */
  fill(write: (values: Map<string, Float32Array>) => void | Promise<void>): Promise<void>;
  /**
   * One optimizer step on the mean loss over all micro-batches.
   *
   * @throws RopewalkError when the loss or a gradient is not finite, naming the first such tensor.
   */
  step(batches: readonly TrainingRows[], settings: UpdateSettings): Promise<StepResult>;
  /** Mean loss over the counted tokens of batches of this learner's shape. Changes nothing. */
  evaluate(
    batches: Iterable<TrainingRows> | AsyncIterable<TrainingRows>,
  ): Promise<{ loss: number; tokens: number }>;
  /** Frees the engine's memory; the host arrays stay. */
  release(): Promise<void>;
}
