/**
 * How many tokens to guess before the next check: more after guesses that were entirely right, fewer otherwise. If
 * all guesses are wrong, guessing pauses, for twice as long each time, so that text without repetition costs no more
 * than without speculation.
 */
export class GuessLength {
  #length: number;
  #pause = 0;
  #nextPause = 1;

  readonly #most: number;

  /** @param most tokens per guess. */
  constructor(most: number) {
    this.#most = most;
    this.#length = Math.min(4, most);
  }

  /** The number of tokens to guess now; 0 while guessing pauses. Call once before each run. */
  next(): number {
    if (this.#pause === 0) return this.#length;
    this.#pause--;
    return 0;
  }

  /** Records how many of the guessed tokens were right. */
  update(guessed: number, right: number): void {
    if (guessed === 0) return;
    if (right === guessed) this.#length = Math.min(this.#most, Math.max(this.#length, 2 * guessed));
    else this.#length = Math.max(1, Math.min(this.#length, right + 1));
    if (right > 0) this.#nextPause = 1;
    else {
      this.#pause = this.#nextPause;
      this.#nextPause = Math.min(LONGEST_PAUSE, 2 * this.#nextPause);
    }
  }
}

/** The longest pause in tokens: if a guess costs two thirds of a token, that is 2 %. */
const LONGEST_PAUSE = 32;
