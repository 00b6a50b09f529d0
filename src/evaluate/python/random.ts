import { RopewalkError } from '../../errors.ts';

const N = 624;
const M = 397;

/**
 * Python's `random.Random` with an integer seed: the Mersenne Twister MT19937 (Matsumoto & Nishimura 1998), with the
 * draws of CPython's `random.py`. The harness uses it for few-shot examples and bootstrap samples.
 */
export class PythonRandom {
  readonly #state = new Uint32Array(N);
  #next = N;

  /** @param seed from 0 to 2^53; Python uses the absolute value of others. */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed))
      throw new RopewalkError(`the seed must be a whole number, but is ${seed}.`);
    const whole = Math.abs(seed);
    const high = Math.floor(whole / 2 ** 32);
    this.#seedByArray(high > 0 ? [whole >>> 0, high] : [whole >>> 0]);
  }

  /** A float from 0 (included) to 1 (excluded) with 53 random bits. */
  random(): number {
    const a = this.#word() >>> 5;
    const b = this.#word() >>> 6;
    return (a * 67108864 + b) / 9007199254740992;
  }

  /** An integer from 0 to `below` - 1, `below` up to 2^32. */
  below(below: number): number {
    const bits = 32 - Math.clz32(below);
    for (;;) {
      const drawn = this.#word() >>> (32 - bits);
      if (drawn < below) return drawn;
    }
  }

  /** `random.sample`: `count` different items, in the order they are drawn. */
  sample<T>(items: readonly T[], count: number): T[] {
    const { length } = items;
    if (count > length) {
      throw new RopewalkError(`${count} examples are needed, but there are ${length}.`);
    }
    let listed = 21;
    if (count > 5) listed += 4 ** Math.ceil(Math.log(count * 3) / Math.log(4));
    if (length <= listed) {
      const pool = [...items];
      return Array.from({ length: count }, (_, i) => {
        const j = this.below(length - i);
        const drawn = pool[j]!;
        pool[j] = pool[length - i - 1]!;
        return drawn;
      });
    }
    const drawn = new Set<number>();
    return Array.from({ length: count }, () => {
      let j = this.below(length);
      while (drawn.has(j)) j = this.below(length);
      drawn.add(j);
      return items[j]!;
    });
  }

  /** `random.choices` with as many draws as items: a bootstrap sample. */
  resample<T>(items: readonly T[]): T[] {
    const { length } = items;
    return Array.from({ length }, () => items[Math.floor(this.random() * length)]!);
  }

  #seedByArray(key: readonly number[]): void {
    const state = this.#state;
    state[0] = 19650218;
    for (let i = 1; i < N; i++) {
      state[i] = Math.imul(1812433253, state[i - 1]! ^ (state[i - 1]! >>> 30)) + i;
    }
    let i = 1;
    let j = 0;
    for (let k = Math.max(N, key.length); k > 0; k--) {
      state[i] = (state[i]! ^ Math.imul(state[i - 1]! ^ (state[i - 1]! >>> 30), 1664525)) + key[j]! + j;
      j = (j + 1) % key.length;
      if (++i < N) continue;
      state[0] = state[N - 1]!;
      i = 1;
    }
    for (let k = N - 1; k > 0; k--) {
      state[i] = (state[i]! ^ Math.imul(state[i - 1]! ^ (state[i - 1]! >>> 30), 1566083941)) - i;
      if (++i < N) continue;
      state[0] = state[N - 1]!;
      i = 1;
    }
    state[0] = 0x80000000;
  }

  #word(): number {
    if (this.#next === N) this.#refill();
    let word = this.#state[this.#next++]!;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  #refill(): void {
    const state = this.#state;
    for (let i = 0; i < N; i++) {
      const word = (state[i]! & 0x80000000) | (state[(i + 1) % N]! & 0x7fffffff);
      state[i] = state[(i + M) % N]! ^ (word >>> 1) ^ (word & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}
