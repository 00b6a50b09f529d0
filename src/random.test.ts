import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random, splitmix64 } from './random.ts';

const take = <T>(count: number, draw: () => T): T[] => Array.from({ length: count }, draw);

describe('splitmix64', () => {
  it('gives the published sequence of seed 1234567 (Rosetta Code, from the reference in C)', () => {
    const words = splitmix64(1234567n);
    expect(take(5, () => words.next().value)).toEqual([
      6457827717110365317n,
      3203168211198807973n,
      9817491932198370423n,
      4593380528125082431n,
      16408922859458223821n,
    ]);
  });
});

describe('Random', () => {
  it('is xoshiro128** 1.1: gives the sequence of its authors from state 1, 2, 3, 4', () => {
    const random = Random.fromState([1, 2, 3, 4]);
    expect(take(10, () => random.nextUint32())).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]);
    // The state after ten numbers, from the same program.
    expect(random.state()).toEqual([939045227, 1864939416, 1451579149, 2199351389]);
  });

  it('is seeded by SplitMix64, low word first', () => {
    const first = 6457827717110365317n;
    const second = 3203168211198807973n;
    const words = [first & 0xffffffffn, first >> 32n, second & 0xffffffffn, second >> 32n];
    expect(new Random(1234567).state()).toEqual(words.map(Number));
  });

  it('continues from a state saved as JSON', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.nat(50), (seed, drawn) => {
        const random = new Random(seed);
        take(drawn, () => random.next());
        const copy = Random.fromState(JSON.parse(JSON.stringify(random.state())));
        expect(take(5, () => copy.next())).toEqual(take(5, () => random.next()));
      }),
    );
  });

  it('gives numbers in [0, 1) with the mean and variance of the uniform distribution', () => {
    const random = new Random(7);
    const values = take(100_000, () => random.next());
    expect(Math.min(...values.slice(0, 50_000))).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values.slice(0, 50_000))).toBeLessThan(1);
    const mean = values.reduce((a, b) => a + b) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean - 1 / 2)).toBeLessThan(5 / Math.sqrt(12 * values.length));
    expect(variance).toBeCloseTo(1 / 12, 3);
  });

  it('gives Gaussian numbers with the moments and tails of the standard normal distribution', () => {
    const random = new Random(11);
    const values = take(200_000, () => random.nextGaussian());
    const mean = (map: (x: number) => number) => values.reduce((sum, x) => sum + map(x), 0) / values.length;
    // Five standard errors of each mean; a power's variance is E[x^2k] − E[x^k]².
    const error = (variance: number) => 5 * Math.sqrt(variance / values.length);
    expect(Math.abs(mean((x) => x))).toBeLessThan(error(1));
    expect(Math.abs(mean((x) => x ** 2) - 1)).toBeLessThan(error(2));
    expect(Math.abs(mean((x) => x ** 3))).toBeLessThan(error(15));
    expect(Math.abs(mean((x) => x ** 4) - 3)).toBeLessThan(error(96));
    for (const [sigma, share] of [
      [1, 0.682689],
      [2, 0.9545],
      [3, 0.9973],
    ] as const) {
      const inside = mean((x) => (Math.abs(x) < sigma ? 1 : 0));
      expect(Math.abs(inside - share)).toBeLessThan(error(share * (1 - share)));
    }
    expect(values.every(Number.isFinite)).toBe(true);
  });

  it('gives every integer below n equally often', () => {
    const random = new Random(3);
    const counts = new Array<number>(6).fill(0);
    for (let i = 0; i < 60_000; i++) counts[random.nextInt(6)]!++;
    const chiSquared = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
    expect(chiSquared).toBeLessThan(20.5); // 5 degrees of freedom: exceeded once in a thousand seeds
    expect(take(20, () => random.nextInt(1))).toEqual(new Array(20).fill(0));
  });

  it('draws again instead of favoring small remainders', () => {
    // With a plain remainder, half of all values instead of a third would fall below 2^30.
    const random = new Random(11);
    const low = take(20_000, () => random.nextInt(3 * 2 ** 30)).filter((value) => value < 2 ** 30).length;
    expect(Math.abs(low - 20_000 / 3)).toBeLessThan(350);
  });

  it('shuffles into every order equally often', () => {
    const random = new Random(5);
    const orders = new Map<string, number>();
    for (let i = 0; i < 12_000; i++) {
      const order = random.shuffle([1, 2, 3]).join('');
      orders.set(order, (orders.get(order) ?? 0) + 1);
    }
    expect(orders.size).toBe(6);
    for (const count of orders.values()) expect(Math.abs(count - 2000)).toBeLessThan(200);
  });

  it('refuses invalid seeds, bounds and states', () => {
    expect(() => new Random(0.5)).toThrow('seed must be an integer');
    expect(() => new Random(0).nextInt(0)).toThrow('nextInt needs an integer');
    expect(() => Random.fromState([0, 0, 0, 0])).toThrow('not all zero');
    expect(() => Random.fromState([1, 2, 3])).toThrow('four integers');
    expect(() => Random.fromState([1, 2, 3, -1])).toThrow('four integers');
  });
});
