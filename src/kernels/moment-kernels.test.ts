import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RopewalkError } from '../errors.ts';
import { HostMemory } from '../runtime/host-memory.ts';
import { adafactorNorm, adafactorSums, adafactorUpdate } from './adafactor-kernels.ts';
import { type AdamWCoefficients, adamw, addInto, sgd } from './kernels.ts';
import { adamwBfloat16, adamwBlocks, BLOCK, type BlockCodes, decodeM, decodeS } from './moment-kernels.ts';
import * as scalarAdafactor from './scalar-adafactor.ts';
import * as scalar from './scalar-kernels.ts';
import * as scalarMoments from './scalar-moments.ts';

/** Numbers that a seed stands for, of sizes spread over some orders of magnitude, with zeros among them. */
function numbers(n: number, seed: number): Float32Array {
  return Float32Array.from({ length: n }, (_, i) => {
    const x = Math.sin(12.9898 * (i + 1) + seed) * 43758.5453;
    const unit = x - Math.floor(x);
    return i % 11 === 3 ? 0 : (unit - 0.5) * 10 ** ((i * 7 + seed) % 9) * 1e-6;
  });
}

const unit = fc.double({ min: 0, max: 0.9999, noNaN: true });
const coefficients: fc.Arbitrary<AdamWCoefficients> = fc.record({
  lr: fc.double({ min: 0, max: 1, noNaN: true }),
  beta1: unit,
  beta2: unit,
  eps: fc.double({ min: 1e-12, max: 1e-3, noNaN: true }),
  weightDecay: fc.double({ min: 0, max: 1, noNaN: true }),
  biasCorrection1: fc.double({ min: 1e-4, max: 1, noNaN: true }),
  biasCorrection2: fc.double({ min: 1e-4, max: 1, noNaN: true }),
  gradScale: fc.double({ min: 0, max: 2, noNaN: true }),
});
const length = fc.integer({ min: 1, max: 3 * BLOCK + 40 });
const seed = fc.integer({ min: 0, max: 1e6 });
const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });

type Arrays = (Float32Array | Uint16Array | Uint8Array)[];

const memories = Array.from({ length: 8 }, () => new HostMemory());

/** Copies of arrays on one WebAssembly memory. */
function together<A extends Arrays>(arrays: A, memory = memories[0]!): A {
  const places = memory.allocByteGroup(arrays.map(({ byteLength }) => byteLength));
  return arrays.map((array, i) => {
    const { buffer, byteOffset } = places[i]!;
    const Type = array.constructor as new (b: ArrayBufferLike, at: number, n: number) => typeof array;
    const copy = new Type(buffer, byteOffset, array.length);
    copy.set(array);
    return copy;
  }) as A;
}

/** Copies that lie apart: on memories of their own, and one on none. */
function apart<A extends Arrays>(arrays: A): A {
  return arrays.map((array, i) => (i === 1 ? array.slice() : together([array], memories[i + 1])[0]!)) as A;
}

/** The same bits on one memory, staged in chunks from several, and in plain JavaScript. */
function expectSameBits<A extends Arrays>(
  arrays: A,
  kernel: (arrays: A, chunk?: number) => void,
  plain: (arrays: A) => void,
  chunk: number,
): void {
  const expected = arrays.map((array) => array.slice()) as A;
  plain(expected);
  const direct = together(arrays);
  kernel(direct);
  expect(direct).toEqual(expected);
  const staged = apart(arrays);
  kernel(staged, chunk);
  expect(staged).toEqual(expected);
}

describe('kernels on one memory, staged through chunks and in plain JavaScript agree to the bit', () => {
  it('for adamw, sgd and addInto', () => {
    const property = fc.property(length, seed, coefficients, (n, s, c) => {
      const four: Float32Array[] = [0, 1, 2, 3].map((k) => numbers(n, s + k));
      four[3] = four[3]!.map(Math.abs);
      expectSameBits(
        four,
        ([p, g, m, v], chunk) => adamw(p!, g!, m!, v!, c, chunk),
        ([p, g, m, v]) => scalar.adamw(p!, g!, m!, v!, c),
        64,
      );
      expectSameBits(
        four.slice(0, 2),
        ([p, g], chunk) => sgd(p!, g!, c.lr, c.gradScale, chunk),
        ([p, g]) => scalar.sgd(p!, g!, c.lr, c.gradScale),
        33,
      );
      expectSameBits(
        four.slice(0, 2),
        ([p, g], chunk) => addInto(p!, g!, chunk),
        ([p, g]) => scalar.addInto(p!, g!),
        48,
      );
    });
    fc.assert(property, { numRuns: 40 });
  });

  it('for adamwBfloat16', () => {
    type Four = [Float32Array, Float32Array, Uint16Array, Uint16Array];
    const property = fc.property(length, seed, coefficients, word, word, (n, s, c, key, first) => {
      const upper = (x: Float32Array) => Uint16Array.from(new Uint32Array(x.buffer), (bits) => bits >>> 16);
      const m = upper(numbers(n, s + 2));
      const v = upper(numbers(n, s + 3).map((x) => x * x));
      expectSameBits<Four>(
        [numbers(n, s), numbers(n, s + 1), m, v],
        ([p, g, m, v], chunk) => adamwBfloat16(p, g, m, v, c, { key, first }, chunk),
        ([p, g, m, v]) => scalarMoments.adamwBfloat16(p, g, m, v, c, key, first),
        40,
      );
    });
    fc.assert(property, { numRuns: 60 });
  });

  it('for adamwBlocks', () => {
    type Seven = [
      Float32Array,
      Float32Array,
      Uint8Array,
      Uint8Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const codesOf = ([, , m, s, mScales, sScales]: Seven): BlockCodes => ({ m, s, mScales, sScales });
    const property = fc.property(length, seed, coefficients, word, fc.nat(1e6), (n, s, c, key, block) => {
      const codes = (k: number) => Uint8Array.from({ length: n }, (_, i) => (i * 31 + s * 7 + k * 13) & 255);
      const blocks = Math.ceil(n / BLOCK);
      const scales = (k: number) => numbers(blocks, s + k).map(Math.abs);
      const first = block * BLOCK;
      const arrays: Seven = [
        numbers(n, s),
        numbers(n, s + 1),
        codes(0),
        codes(1),
        scales(4),
        scales(5),
        new Float32Array(2 * BLOCK),
      ];
      expectSameBits<Seven>(
        arrays,
        (a, chunk) => {
          adamwBlocks(a[0], a[1], codesOf(a), a[6], c, { key, first }, chunk);
          a[6].fill(0);
        },
        (a) => scalarMoments.adamwBlocks(a[0], a[1], codesOf(a), c, key, first),
        BLOCK,
      );
    });
    fc.assert(property, { numRuns: 60 });
  });

  it("for adafactor's passes", () => {
    const size = fc.integer({ min: 1, max: 23 });
    const property = fc.property(size, size, seed, unit, (rows, width, s, gradScale) => {
      const n = rows * width;
      const [param, grad] = [numbers(n, s), numbers(n, s + 1)];
      const chunk = 2 * width;
      const means = [new Float32Array(rows), new Float32Array(rows)] as const;
      const columns = [new Float64Array(width).fill(0.5), new Float64Array(width).fill(0.5)] as const;
      const sum = adafactorSums(param, grad, means[0], columns[0], gradScale, chunk);
      expect(sum).toBe(scalarAdafactor.adafactorSums(param, grad, means[1], columns[1], gradScale));
      expect(means[0]).toEqual(means[1]);
      expect(columns[0]).toEqual(columns[1]);
      const factors = {
        rows: numbers(rows, s + 2).map(Math.abs),
        columns: numbers(width, s + 3).map(Math.abs),
        floor: 1e-14,
      };
      const norm = adafactorNorm(grad, factors, gradScale, chunk);
      expect(norm).toBe(scalarAdafactor.adafactorNorm(grad, factors, gradScale));
      const plain = param.slice();
      adafactorUpdate(param, grad, factors, gradScale, 0.99, 0.1, chunk);
      scalarAdafactor.adafactorUpdate(plain, grad, factors, gradScale, 0.99, 0.1);
      expect(param).toEqual(plain);
    });
    fc.assert(property, { numRuns: 60 });
  });
});

/** A step with a gradient of zeros that leaves the averages as they are: only rounding happens. */
const still = { lr: 0, beta1: 0.5, beta2: 1, eps: 1, weightDecay: 0, gradScale: 1 };
const coded: AdamWCoefficients = { ...still, biasCorrection1: 1, biasCorrection2: 1 };

describe('stochastic rounding', () => {
  const n = 2 ** 16;

  it('preserves the mean of a bfloat16', () => {
    // 0.5 · (1 + 2^-7) becomes a quarter of the way from one bfloat16 to the next; m halves itself without a gradient.
    const value = Math.fround(0.1 * (1 + 2 ** -20));
    const grad = new Float32Array(n).fill(2 * value);
    const m = new Uint16Array(n);
    adamwBfloat16(new Float32Array(n), grad, m, new Uint16Array(n), coded, { key: 5, first: 0 });
    const words = new Float32Array(new Uint32Array(Array.from(new Set(m), (code) => code << 16)).buffer);
    expect(words.length).toBe(2);
    const mean =
      m.reduce((sum, code) => sum + new Float32Array(Uint32Array.of(code << 16).buffer)[0]!, 0) / n;
    // Neighbors are 2^-11 apart around 0.1; a mean of 65,536 draws is within four standard errors.
    expect(Math.abs(mean - value)).toBeLessThan((4 * 2 ** -11 * 0.5) / Math.sqrt(n));
  });

  it('preserves the mean of 8-bit codes', () => {
    // One large number in each block, and one magnitude everywhere else.
    for (const value of [0.3, -0.0123, 1.7e-4]) {
      const grad = new Float32Array(n).fill(2 * value);
      for (let i = 0; i < n; i += BLOCK) grad[i] = 2;
      const codes = blockCodes(n);
      const c = { ...coded, beta2: 0 };
      const scratch = new Float32Array(2 * BLOCK);
      adamwBlocks(new Float32Array(n), grad, codes, scratch, c, { key: 9, first: 0 });
      expect(codes.mScales[0]).toBe(1);
      expect(codes.sScales[0]).toBe(2);
      let [sumM, sumS] = [0, 0];
      let count = 0;
      for (let i = 0; i < n; i++) {
        if (i % BLOCK === 0) continue;
        sumM += decodeM(codes.m[i]!, 1 / 61439);
        sumS += decodeS(codes.s[i]!, 2 / 63488);
        count++;
      }
      // Codes are at most 1/8 (of m, and 1/8/61439 near zero) and 1/16 of themselves apart.
      const error = (apart: number) => (4 * apart * 0.5) / Math.sqrt(count);
      expect(Math.abs(sumM / count - value)).toBeLessThan(error(Math.abs(value) / 8 + 1 / 8 / 61439));
      expect(Math.abs(sumS / count / (2 * Math.abs(value)) - 1)).toBeLessThan(error(1 / 16));
    }
  });

  it('depends only on the key and the position', () => {
    const run = (key: number, first: number) => {
      const m = new Uint16Array(999);
      const grad = new Float32Array(999).fill(0.2);
      adamwBfloat16(new Float32Array(999), grad, m, new Uint16Array(999), coded, { key, first });
      return m;
    };
    expect(run(1, 0)).toEqual(run(1, 0));
    expect(run(1, 0)).not.toEqual(run(2, 0));
    expect(run(1, 100).subarray(0, 899)).toEqual(run(1, 0).subarray(100));
  });
});

describe('8-bit optimizer state codes', () => {
  it('decode in rising order to the values they stand for, the largest magnitude exact to a rounding', () => {
    const m = Array.from({ length: 128 }, (_, code) => decodeM(code, 1 / 61439));
    const s = Array.from({ length: 256 }, (_, code) => decodeS(code, 1 / 63488));
    m.forEach((value, code) => {
      const exact = ((1 + (code % 8) / 8) * 2 ** (code >> 3) - 1) / 61439;
      expect(Math.abs(value - exact)).toBeLessThanOrEqual(1e-7 * exact);
      expect(decodeM(code + 128, 1 / 61439)).toBe(-value);
    });
    s.forEach((value, code) => {
      const exact = ((1 + (code % 16) / 16) * 2 ** (code >> 4)) / 63488;
      expect(Math.abs(value - exact)).toBeLessThanOrEqual(1e-7 * exact);
    });
    expect(m[0]).toBe(0);
    expect([...m].sort((a, b) => a - b)).toEqual(m);
    expect([...s].sort((a, b) => a - b)).toEqual(s);
  });

  it('keep zeros as zeros, which move no weight', () => {
    const param = new Float32Array(600).fill(1);
    const codes = blockCodes(600);
    const grad = new Float32Array(600);
    grad[300] = 1;
    const c = { ...coded, lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8 };
    const scratch = new Float32Array(2 * BLOCK);
    for (let step = 0; step < 3; step++) {
      adamwBlocks(param, grad, codes, scratch, c, { key: step, first: 0 });
    }
    // 300 alone had a gradient; those of its block have codes beside it, and are as still as those of other blocks.
    expect(param.every((value, i) => (i === 300 ? value < 1 : value === 1))).toBe(true);
    expect(codes.mScales[0]).toBe(0);
    expect(codes.m.every((code, i) => i === 300 || code % 128 === 0)).toBe(true);
  });

  it('must begin at a block', () => {
    const x = new Float32Array(4);
    expect(() => adamwBlocks(x, x, blockCodes(4), x, coded, { key: 0, first: 8 })).toThrow(RopewalkError);
  });
});

function blockCodes(n: number): BlockCodes {
  const blocks = Math.ceil(n / BLOCK);
  return {
    m: new Uint8Array(n),
    s: new Uint8Array(n),
    mScales: new Float32Array(blocks),
    sScales: new Float32Array(blocks),
  };
}
