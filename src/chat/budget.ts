import { RopewalkError } from '../errors.ts';

/**
 * What a rendering may use. A template comes with a downloaded model and is as little trusted: the interpreter runs on
 * the caller's thread and cannot be interrupted from outside, so it counts. One step is the evaluation of one node,
 * about a microsecond; what takes longer is charged before it is done.
 */
export class Budget {
  /** Characters that a text may have. */
  readonly maxText: number;
  #steps: number;

  /** @param inputLength characters of the messages: long ones may take longer and give more. */
  constructor(
    readonly name: string,
    inputLength: number,
  ) {
    this.maxText = 1_000_000 + 4 * inputLength;
    this.#steps = 500_000 + inputLength;
  }

  spend(steps: number): void {
    this.#steps -= steps;
    if (!(this.#steps >= 0)) throw this.exceeded('takes too long');
  }

  /** Checks the length of a text before it is made, and charges for it. */
  spendText(length: number): void {
    if (!(length <= this.maxText))
      throw this.exceeded(`makes a text of more than ${this.maxText} characters`);
    this.spend(length / 64);
  }

  exceeded(what: string): RopewalkError {
    return new RopewalkError(
      `${this.name}: it ${what} and was stopped; it is damaged or hostile: use another chat template.`,
    );
  }
}

export const MAX_DEPTH = 250;
export const MAX_ITEMS = 100_000;
