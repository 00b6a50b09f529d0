import { type Budget, MAX_DEPTH } from './budget.ts';
import { childrenOf, textOf, type Value } from './jinja-values.ts';

/** What operations on values cost, charged before they are done. */
export class Costs {
  readonly #budget: Budget;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /**
   * Counts what values hold, as often as they hold it, before work is done on all of it: a list that holds another one
   * twice, and so on, is small in memory and endless to write.
   */
  measure(values: readonly Value[]): { size: number; items: number } {
    const { maxText } = this.#budget;
    let [size, items] = [0, 0];
    const waiting = [...values];
    for (let value = waiting.pop(); value; value = waiting.pop()) {
      size += 1 + (textOf(value)?.length ?? 0);
      items++;
      for (const child of childrenOf(value)) waiting.push(child);
      if (Math.max(size, waiting.length) > maxText) this.#budget.spendText(Number.POSITIVE_INFINITY);
    }
    this.#budget.spend(size / 64 + items / 8);
    return { size, items };
  }

  /** Looking for `needle`: character by character at worst. */
  search(text: string, needle: string): void {
    this.#budget.spend((text.length * Math.max(1, needle.length)) / 64);
  }

  /** Replacing one text by another, from the arguments of `replace`. */
  replacement(text: string, [old, fresh]: readonly Value[]): void {
    const wanted = (old && textOf(old)) ?? '';
    this.search(text, wanted);
    const places = text.length / Math.max(1, wanted.length) + 1;
    this.#budget.spendText(text.length + places * ((fresh && textOf(fresh)?.length) ?? 0));
    this.#budget.spend(places / 8);
  }

  /** Sorting, where comparing all with one another once takes so many steps. */
  sort(steps: number, items: number): void {
    this.#budget.spend(steps * Math.log2(items + 2));
  }

  /** How deep lists and mappings nest, at most as deep as a rendering may; what they hold has been measured. */
  depth(value: Value, limit = MAX_DEPTH): number {
    let deepest = 0;
    if (limit > 0) {
      for (const child of childrenOf(value)) deepest = Math.max(deepest, this.depth(child, limit - 1) + 1);
    }
    return deepest;
  }
}
