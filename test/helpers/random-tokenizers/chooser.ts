import { Random } from '../../../src/random.ts';

/** Random choices by a seed: equal seeds make equal ones. */
export class Chooser {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  /** A whole number from 0 below `count`. */
  below(count: number): number {
    return this.#random.nextInt(count);
  }

  /** True once in `times` times. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  flag(): boolean {
    return this.once(2);
  }

  pick<T>(all: readonly T[]): T {
    return all[this.below(all.length)]!;
  }

  /** From `least` to `most` things, made one by one. */
  several<T>(least: number, most: number, make: (index: number) => T): T[] {
    return Array.from({ length: least + this.below(most - least + 1) }, (_, index) => make(index));
  }

  /** Some of the things, each with the chance of all but one in `times`. */
  without<T>(all: readonly T[], times: number): T[] {
    return all.filter(() => !this.once(times));
  }

  text(alphabet: readonly string[], most: number): string {
    return this.several(1, most, () => this.pick(alphabet)).join('');
  }
}
