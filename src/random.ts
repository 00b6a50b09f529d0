const MASK_64 = (1n << 64n) - 1n;

/** SplitMix64 (Steele, Lea and Flood 2014): spreads a seed over 64-bit words; published for seeding xoshiro. */
export function* splitmix64(seed: bigint): Generator<bigint, never> {
  let state = seed & MASK_64;
  while (true) {
    state = (state + 0x9e3779b97f4a7c15n) & MASK_64;
    let z = state;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK_64;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK_64;
    yield z ^ (z >> 31n);
  }
}

const rotateLeft = (x: number, k: number) => (x << k) | (x >>> (32 - k));

/**
 * Pseudo-random numbers by xoshiro128** 1.1 (Blackman and Vigna 2018): 128 bits of state that can be saved as four
 * integers, so that a run resumes exactly where it stopped. Not for secrets.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** @param seed any integer up to 2⁵³ in size; equal seeds give equal numbers. @throws RangeError otherwise. */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`seed must be an integer, but is ${seed}`);
    const words = splitmix64(BigInt(seed));
    const first = words.next().value;
    const second = words.next().value;
    this.#a = Number(first & 0xffffffffn) | 0;
    this.#b = Number(first >> 32n) | 0;
    this.#c = Number(second & 0xffffffffn) | 0;
    this.#d = Number(second >> 32n) | 0;
  }

  /** A generator that continues from a saved state. @throws RangeError when it is not four integers, not all zero. */
  static fromState(state: readonly number[]): Random {
    const valid =
      state.length === 4 && state.every((word) => word >= 0 && word <= 0xffffffff && word % 1 === 0);
    if (!valid || state.every((word) => word === 0)) {
      throw new RangeError(
        `a random state is four integers below 2^32, not all zero; got [${state.join(', ')}]`,
      );
    }
    const random = new Random(0);
    [random.#a, random.#b, random.#c, random.#d] = state.map((word) => word | 0) as [
      number,
      number,
      number,
      number,
    ];
    return random;
  }

  /** The state as four integers in [0, 2³²). */
  state(): number[] {
    return [this.#a >>> 0, this.#b >>> 0, this.#c >>> 0, this.#d >>> 0];
  }

  /** The next 32 bits, an integer in [0, 2³²). */
  nextUint32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9);
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = rotateLeft(this.#d, 11);
    return result >>> 0;
  }

  /** A number in [0, 1) with all 53 bits of a float64. */
  next(): number {
    const high = this.nextUint32() >>> 5; // 27 bits
    const low = this.nextUint32() >>> 6; // 26 bits
    return (high * 0x4000000 + low) / 0x20000000000000;
  }

  /** An integer in [0, n), each equally likely. @throws RangeError unless n is an integer in [1, 2³²]. */
  nextInt(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 0x100000000) {
      throw new RangeError(`nextInt needs an integer from 1 to 2^32, but got ${n}`);
    }
    // The last, incomplete range of n values would favor small remainders: draw again.
    const limit = 0x100000000 - (0x100000000 % n);
    let value = this.nextUint32();
    while (value >= limit) value = this.nextUint32();
    return value % n;
  }

  /**
   * A standard normal deviate (Box and Muller 1958). The method's second number is discarded, so that the state stays
   * four integers.
   */
  nextGaussian(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.next())); // 1 − u is never 0
    return radius * Math.cos(2 * Math.PI * this.next());
  }

  /** Shuffles in place (Fisher and Yates): every order is equally likely. Returns its argument. */
  shuffle<T extends Int32Array | number[]>(values: T): T {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.nextInt(i + 1);
      const kept = values[i]!;
      values[i] = values[j]!;
      values[j] = kept;
    }
    return values;
  }
}
