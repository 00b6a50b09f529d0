import { BudgetExceeded } from './errors.ts';

const MAX_DEPTH = 250;
export const MAX_ITEMS = 100_000;
/** Integers stay below 2 to this power; Python itself writes none of more than 4,300 digits. */
export const MAX_BITS = 14_000;

/**
 * Limits on a rendering. A template comes with a downloaded model and is not trusted: it runs on the caller's thread
 * and cannot be interrupted from outside, so the interpreter counts steps. One step is the evaluation of one node;
 * longer work is charged before it is done.
 */
export class Budget {
  /** The largest length of a text. */
  readonly maxText: number;
  #steps: number;
  #depth = 0;

  /**
   * @param inputLength characters of the template's inputs: longer chats may take longer and produce more.
   * @param messages the number of messages.
   */
  constructor(inputLength: number, messages: number) {
    this.maxText = 1_000_000 + 4 * inputLength + 1_000 * messages;
    this.#steps = 1_000_000 + inputLength + 1_000 * messages;
  }

  spend(steps: number): void {
    this.#steps -= steps;
    if (!(this.#steps >= 0)) throw new BudgetExceeded('takes too long');
  }

  /** Checks the length of a text before it is created, and charges for it. */
  spendText(length: number): void {
    if (!(length <= this.maxText)) {
      throw new BudgetExceeded(`makes a text of more than ${this.maxText} characters`);
    }
    this.spend(length / 64);
  }

  /** Checks the length of a list before it is created, and charges for it. */
  spendItems(count: number): void {
    if (!(count <= MAX_ITEMS)) throw new BudgetExceeded(`makes a list of over ${MAX_ITEMS} items`);
    this.spend(count / 8);
  }

  /** Charges for a search of `needle` in a text: character by character in the worst case. */
  spendSearch(length: number, needle: number): void {
    this.spend((length * Math.min(Math.max(1, needle), Math.max(1, length))) / 64);
  }

  /** Runs something that may recurse. */
  deeper<T>(work: () => T): T {
    if (this.#depth >= MAX_DEPTH) throw new BudgetExceeded('nests too deeply');
    this.#depth++;
    try {
      return work();
    } finally {
      this.#depth--;
    }
  }
}
