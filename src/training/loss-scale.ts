import { option, RopewalkError, said } from '../errors.ts';

/** A loss scale's state; plain JSON. */
export interface LossScaleState {
  readonly factor: number;
  /** Consecutive steps with finite gradients since the factor changed. */
  readonly good: number;
  /** Consecutive steps without. */
  readonly skipped: number;
}

/** No factor makes gradients finite. */
export class LossScaleError extends RopewalkError {}

const START: LossScaleState = { factor: 65_536, good: 0, skipped: 0 };
/** The factor doubles after so many steps with finite gradients. */
const GROWTH_INTERVAL = 2000;
/** After so many steps in a row without, the factor is not the reason. */
const MOST_SKIPPED = 20;

/**
 * The factor of the loss that keeps gradients within what float16 holds, as PyTorch's `torch.amp.GradScaler` adapts it with
 * its defaults: it begins at 65,536, is halved after a step whose gradients are not finite, which is skipped, and is doubled
 * after 2,000 steps in a row with finite ones. It is always a power of two, so that dividing by it is exact.
 */
export class LossScale {
  #state = START;

  get factor(): number {
    return this.#state.factor;
  }

  /**
   * Called once a step.
   *
   * @param finite whether all gradients were finite.
   * @throws LossScaleError after too many steps in a row with others.
   */
  update(finite: boolean): void {
    const { factor, good, skipped } = this.#state;
    if (!finite) {
      this.#state = { factor: factor / 2, good: 0, skipped: skipped + 1 };
      if (skipped + 1 < MOST_SKIPPED) return;
      throw new LossScaleError(
        said`${MOST_SKIPPED} steps in a row had a loss or gradients that float16 does not hold, whatever they were scaled by; train in float32 (${option('precision', 'float32')}).`,
      );
    }
    const grows = good + 1 === GROWTH_INTERVAL;
    this.#state = { factor: grows ? 2 * factor : factor, good: grows ? 0 : good + 1, skipped: 0 };
  }

  /** The state, from which `restore` resumes. */
  state(): LossScaleState {
    return this.#state;
  }

  /** Resumes from what `state` returned. */
  restore(state: LossScaleState): void {
    this.#state = { ...state };
  }
}
