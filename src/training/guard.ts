import { RopewalkError } from '../errors.ts';

export interface GuardSettings {
  /** A batch whose loss is more than this many standard deviations above the mean of recent losses is skipped. */
  readonly zScore: number;
  /** The number of losses in the mean and the deviation. */
  readonly window: number;
}

/** A guard's state; plain JSON. */
export interface GuardState {
  readonly losses: readonly number[];
  /** The number of consecutive batches skipped. */
  readonly skipped: number;
}

/** Losses that must be known before a batch can be rejected. */
const LEAST = 16;
/** After this many consecutive bad batches, the level of the loss is taken to have changed. */
const MOST_SKIPPED = 5;
/** With losses that hardly vary, any other would be an outlier: the deviation is at least this share of the mean. */
const LEAST_DEVIATION = 0.01;

/**
 * Recognizes harmful batches (damaged text, another language, a table of numbers) by their loss, before anything is
 * updated. Only losses above the recent ones are bad; NaN is not handled here.
 */
export class LossGuard {
  #losses: number[] = [];
  #skipped = 0;

  readonly #settings: GuardSettings;

  constructor(settings: GuardSettings) {
    this.#settings = settings;
    const { zScore, window } = settings;
    if (!(zScore > 0)) throw new RopewalkError(`the guard's z-score is ${zScore}; give a number above 0.`);
    if (!Number.isSafeInteger(window) || window < LEAST) {
      throw new RopewalkError(
        `the guard's window is ${window}; give a whole number of at least ${LEAST} losses.`,
      );
    }
  }

  /** How far above the recent losses this one is, in standard deviations; 0 while too few are known. */
  zScore(loss: number): number {
    const losses = this.#losses;
    if (losses.length < LEAST) return 0;
    const mean = losses.reduce((sum, each) => sum + each, 0) / losses.length;
    const variance = losses.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (losses.length - 1);
    return (loss - mean) / Math.max(Math.sqrt(variance), LEAST_DEVIATION * Math.abs(mean));
  }

  /** Records a loss and returns whether its batch may be used. */
  accept(loss: number): boolean {
    if (!Number.isFinite(loss)) return true;
    if (this.zScore(loss) > this.#settings.zScore) {
      this.#skipped++;
      if (this.#skipped < MOST_SKIPPED) return false;
      this.#losses = [];
    }
    this.#skipped = 0;
    this.#losses.push(loss);
    if (this.#losses.length > this.#settings.window) this.#losses.shift();
    return true;
  }

  /** The record of recent losses, from which `restore` resumes. */
  state(): GuardState {
    return { losses: [...this.#losses], skipped: this.#skipped };
  }

  /** Resumes from what `state` returned. */
  restore({ losses, skipped }: GuardState): void {
    this.#losses = [...losses];
    this.#skipped = skipped;
  }
}
