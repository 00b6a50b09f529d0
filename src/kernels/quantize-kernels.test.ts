import { describe, expect, it } from 'vitest';
import { Random } from '../random.ts';
import { quantizeBlocks } from './quantize-kernels.ts';

const RANGES = [1, 0.94, 0.88, 0.82, 0.76, 0.7];
const FORMS = ([4, 8] as const).flatMap((bits) => ([32, 64, 128] as const).map((block) => ({ bits, block })));

function gaussian(count: number, seed: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: count }, () => 0.02 * random.nextGaussian());
}

function quantize(values: Float32Array, bits: 4 | 8, block: number, rows: number, inRow: number) {
  const width = values.length / rows;
  const data = new Uint8Array((rows * inRow * block * bits) / 8);
  const [scales, zeroPoints] = [new Float32Array(rows * inRow), new Uint8Array(rows * inRow)];
  quantizeBlocks(
    bits,
    block,
    rows,
    inRow,
    (row, target, at) => target.set(values.subarray(row * width, (row + 1) * width), at),
    (first, _count, blocks) => {
      data.set(blocks.data, (first * inRow * block * bits) / 8);
      scales.set(blocks.scales, first * inRow);
      zeroPoints.set(blocks.zeroPoints, first * inRow);
    },
  );
  return { data, scales, zeroPoints };
}

const limited = (q: number) => Math.min(15, Math.max(0, q));

/** The scale, the zero point and the squared error of a block of 4-bit numbers, searched in float64. */
function search(x: Float32Array) {
  const [low, high] = [Math.min(0, ...x), Math.max(0, ...x)];
  let best = { scale: 0, zero: 8, error: Number.POSITIVE_INFINITY };
  for (const share of RANGES) {
    const range = (high - low) * share;
    const zero = limited(Math.floor((range / 2 - (low + high) / 2) * (15 / range) + 0.5));
    const q = Array.from(x, (value) => limited(Math.floor((value * 15) / range + 0.5) + zero) - zero);
    const along = q.reduce((sum, each, i) => sum + each * x[i]!, 0);
    const scale = along / q.reduce((sum, each) => sum + each * each, 0);
    const near = Array.from(x, (value) => scale * (limited(Math.floor(value / scale + 0.5) + zero) - zero));
    const error = near.reduce((sum, value, i) => sum + (value - x[i]!) ** 2, 0);
    if (along > 0 && error < best.error) best = { scale, zero, error };
  }
  return best;
}

describe('quantized blocks', () => {
  it.each([32, 64, 128])('of 8 bits are the nearest steps in float64, blocks of %i', (block) => {
    const values = gaussian(40 * block, 1);
    const { data, scales } = quantize(values, 8, block, 10, 4);
    for (const [b, scale] of scales.entries()) {
      const x = values.subarray(b * block, (b + 1) * block);
      const largest = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expect(scale).toBe(Math.fround(largest / 127));
      for (const [i, value] of x.entries()) {
        const exact = value / scale + 128;
        // Float32 decides otherwise only where two steps are as near.
        expect(Math.abs(data[b * block + i]! - exact)).toBeLessThan(0.5 + 1e-4);
      }
    }
  });

  it.each([32, 64, 128])('of 4 bits err as little as a search in float64, blocks of %i', (block) => {
    const values = gaussian(60 * block, 2);
    const { data, scales, zeroPoints } = quantize(values, 4, block, 15, 4);
    for (const [b, scale] of scales.entries()) {
      const x = values.subarray(b * block, (b + 1) * block);
      const wanted = search(x);
      let error = 0;
      for (const [i, value] of x.entries()) {
        const byte = data[(b * block + i) >> 1]!;
        const q = (i % 2 === 0 ? byte : byte >> 4) & 15;
        error += (value - scale * (q - zeroPoints[b]!)) ** 2;
      }
      expect(error).toBeLessThan(wanted.error * 1.0001);
    }
  });

  it.each(FORMS)(
    'do not depend on the rows that are quantized with them: $bits bits, blocks of $block',
    ({ bits, block }) => {
      const [rows, inRow] = [700, 3];
      const width = inRow * block;
      const values = gaussian(rows * width, 3);
      const all = quantize(values, bits, block, rows, inRow);
      for (const row of [0, 341, 699]) {
        const one = quantize(values.slice(row * width, (row + 1) * width), bits, block, 1, inRow);
        expect(one.scales).toEqual(all.scales.subarray(row * inRow, (row + 1) * inRow));
        const bytes = (width * bits) / 8;
        expect(one.data).toEqual(all.data.subarray(row * bytes, (row + 1) * bytes));
        if (bits === 4)
          expect(one.zeroPoints).toEqual(all.zeroPoints.subarray(row * inRow, (row + 1) * inRow));
      }
    },
  );

  it.each(FORMS)('pad a short last one with zeros: $bits bits, blocks of $block', ({ bits, block }) => {
    const short = gaussian(3 * (block + 5), 4);
    const padded = new Float32Array(3 * 2 * block);
    for (let row = 0; row < 3; row++)
      padded.set(short.subarray(row * (block + 5), (row + 1) * (block + 5)), row * 2 * block);
    expect(quantize(short, bits, block, 3, 2)).toEqual(quantize(padded, bits, block, 3, 2));
  });

  it.each(
    FORMS.flatMap((form) => [Number.NaN, Number.POSITIVE_INFINITY].map((value) => ({ ...form, value }))),
  )(
    'with the value $value have no scale, so that nothing hides it: $bits bits, blocks of $block',
    ({ bits, block, value }) => {
      const values = gaussian(2 * block, 5);
      values[block + 7] = value;
      const { scales } = quantize(values, bits, block, 1, 2);
      expect(Number.isFinite(scales[0])).toBe(true);
      expect(scales[1]).toBeNaN();
    },
  );

  it.each(FORMS)(
    'of values that are nearly zero are zero: $bits bits, blocks of $block',
    ({ bits, block }) => {
      for (const value of [0, 1e-40, -1e-38]) {
        const { data, scales } = quantize(new Float32Array(block).fill(value), bits, block, 1, 1);
        expect(scales[0]).toBe(0);
        expect(new Set(data)).toEqual(new Set([bits === 8 ? 128 : 0x88]));
      }
    },
  );
});
