import type { DeviceTensor } from '../../runtime/device.ts';
import type { Optimizer, OptimizerState } from '../optimizers/optimizer.ts';

/**
 * A trained weight on a device. A weight that is too large for one tensor is several, each some consecutive rows of it:
 * with `value: [a, b]`, the first `a.shape[0]` rows are in `a`.
 */
export interface DeviceParameter {
  readonly name: string;
  /** Of the whole weight. */
  readonly shape: readonly number[];
  readonly value: readonly DeviceTensor[];
  /** The gradient, in as many tensors; weights that are not updated together may share theirs. */
  readonly gradient: readonly DeviceTensor[];
}

/** What a device knows of the gradients of a step, or of a part of it. */
export interface DeviceMeasure {
  /** Their norm, `[1]`, without the loss scale. */
  readonly norm: DeviceTensor;
  /**
   * The factor that clips them, `[1]`: min(1, clip / (norm + 1e-6)), or 1 without clipping, over the loss scale; NaN where the norm
   * is not finite.
   */
  readonly scale: DeviceTensor;
}

/** An optimizer whose states and updates stay on the device. Its state in a checkpoint is that of the same optimizer on the CPU. */
export interface DeviceOptimizer extends Optimizer {
  /**
   * Allocates the states and compiles what steps run.
   *
   * @param sets the names that a step measures and updates together. Each parameter is in one set. Default one set of all.
   */
  prepare(sets?: readonly (readonly string[])[]): Promise<void>;
  /**
   * Starts measuring the gradients of a set. The results are valid until it is measured again.
   *
   * @param clip the largest norm; 0 for no clipping.
   * @param lossScale what the loss and its gradients are multiplied by. Default 1.
   */
  measure(names: readonly string[], clip: number, lossScale?: number): DeviceMeasure;
  /** Starts an update of a set, each parameter by its gradient times the scale. */
  update(
    names: readonly string[],
    settings: { readonly learningRate: number; readonly scale: DeviceTensor },
  ): void;
  /** The state, for a checkpoint: where the host cannot wait for the device, copies of all arrays. */
  stateToSave(): Promise<OptimizerState>;
  /** Frees the states and everything that was compiled. */
  release(): Promise<void>;
}

/** Whether an optimizer's states are on a device. */
export function isOnDevice(optimizer: Optimizer): optimizer is DeviceOptimizer {
  return 'measure' in optimizer;
}
