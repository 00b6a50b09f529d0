import { RopewalkError } from '../errors.ts';

export interface GuardSettings {
  /** A batch whose loss lies more than this many standard deviations above the mean of recent ones is skipped. */
  readonly zScore: number;
  /** Losses that the mean and the deviation are over. */
  readonly window: number;
}

/** Where a guard is; plain JSON. */
export interface GuardState {
  readonly losses: readonly number[];
  /** Batches skipped one after another. */
  readonly skipped: number;
}

/** Losses that must be known before a batch is called bad. */
const LEAST = 16;
/** So many bad batches one after another are no bad batches: the level has changed. */
const MOST_SKIPPED = 5;
/** Losses that hardly vary at all would make any other one an outlier: the deviation is at least this share of the mean. */
const LEAST_DEVIATION = 0.01;

/**
 * Tells batches that would do harm (damaged text, another language, a table of numbers) by their loss, before anything is
 * updated. Only what lies above the recent losses is bad; losses that are no numbers are not its business.
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

  /** Takes note of a loss and says whether its batch may be used. */
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

  /** Its record of recent losses, which `restore` resumes from. */
  state(): GuardState {
    return { losses: [...this.#losses], skipped: this.#skipped };
  }

  /** Resumes from what `state` returned. */
  restore({ losses, skipped }: GuardState): void {
    this.#losses = [...losses];
    this.#skipped = skipped;
  }
}
