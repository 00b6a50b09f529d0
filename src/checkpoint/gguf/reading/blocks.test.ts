import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { RopewalkError } from '../../../errors.ts';
import type { QuantizedMatrix } from '../../../onnx/weights.ts';
import { GGML_TYPES, type GgmlType, type WritableGgmlType } from '../types.ts';
import { quantize } from '../writing/quantize.ts';
import { isQuantized } from './blocks.ts';
import { dequantize } from './dequantize.ts';
import { toQuantizedMatrix } from './matrix.ts';

type Index<Key extends string> = Record<Key, { blocks: [number, number]; values: [number, number] }>;

const reference = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../../../test/reference/gguf/${name}`, import.meta.url)));

/** Blocks and their numbers, of the Python package gguf (test/reference/make_gguf.py). */
function cases<Key extends string>(name: string) {
  const bytes = reference(`${name}.bin`);
  const index = JSON.parse(new TextDecoder().decode(reference(`${name}.json`))) as Index<Key>;
  const part = ([at, length]: [number, number]) => bytes.slice(at, at + length);
  return Object.entries<Index<Key>[Key]>(index).map(
    ([type, { blocks, values }]) =>
      [type as Key, part(blocks), new Float32Array(part(values).buffer)] as const,
  );
}

const bits = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);

const dequantizeCases = cases<GgmlType>('dequantize');

test('every GGUF block type has a reference file', () => {
  expect(dequantizeCases.map(([type]) => type).sort()).toEqual(Object.keys(GGML_TYPES).sort());
});

describe("dequantize gives the Python package's numbers, bit for bit", () => {
  test.each(dequantizeCases)('for %s', (type, blocks, values) => {
    const target = new Float32Array(values.length);
    dequantize(type, blocks, target);
    expect(bits(target)).toEqual(bits(values));
    // Bytes at any position, into the middle of an array.
    const shifted = new Uint8Array(blocks.length + 1);
    shifted.set(blocks, 1);
    const inside = new Float32Array(values.length + 3).subarray(3);
    dequantize(type, shifted.subarray(1), inside);
    expect(bits(inside)).toEqual(bits(values));
  });

  test('and refuses lengths that do not match', () => {
    expect(() => dequantize('Q4_K', new Uint8Array(144), new Float32Array(255))).toThrow(RopewalkError);
    expect(() => dequantize('Q8_0', new Uint8Array(33), new Float32Array(32))).toThrow(/33 bytes of Q8_0/);
  });

  test('and turns infinite or NaN scales into non-finite numbers without an error', () => {
    for (const type of Object.keys(GGML_TYPES) as GgmlType[]) {
      const { block, bytes } = GGML_TYPES[type];
      for (const byte of [0x7c, 0x7e, 0xff]) {
        const target = new Float32Array(block);
        dequantize(type, new Uint8Array(bytes).fill(byte), target);
        if (isQuantized(type) && byte !== 0x7c) expect(target.every(Number.isFinite), type).toBe(false);
      }
    }
  });
});

describe("quantize gives the Python package's bytes", () => {
  test.each(cases<WritableGgmlType>('quantize'))('for %s', (type, blocks, values) => {
    expect(quantize(type, values)).toEqual(blocks);
  });

  test('and refuses numbers that a type cannot hold', () => {
    for (const type of ['Q8_0', 'Q4_0'] as const) {
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38]) {
        const values = new Float32Array(64);
        values[40] = value;
        expect(() => quantize(type, values), `${type} ${value}`).toThrow(/cannot hold .* write F32/);
      }
      expect(() => quantize(type, new Float32Array(33))).toThrow(/not a multiple of the block size 32/);
    }
  });

  test('and turns numbers far below the smallest scale into zeros', () => {
    const values = new Float32Array(32).fill(1e-42);
    for (const type of ['Q8_0', 'Q4_0'] as const) {
      const target = new Float32Array(32);
      dequantize(type, quantize(type, values), target);
      expect(target.every((value) => value === 0)).toBe(true);
    }
  });
});

/** The numbers that a matrix stands for, by the documentation of `QuantizedMatrix`, in float64. */
function numbersOf({ rows, columns, bits, block, data, scales, offsets }: QuantizedMatrix): Float64Array {
  const numbers = new Float64Array(rows * columns);
  for (let i = 0; i < numbers.length; i++) {
    const code = bits === 8 ? data[i]! : (data[i >> 1]! >> (4 * (i & 1))) & 15;
    const g = Math.floor(i / block);
    const scaled = scales[g]! * (code - 2 ** (bits - 1));
    numbers[i] = offsets ? scaled + offsets[g]! : scaled;
  }
  return numbers;
}

describe("toQuantizedMatrix represents the Python package's numbers", () => {
  const quantized = dequantizeCases.filter(([type]) => isQuantized(type));
  test.each(quantized)('for %s', (type, blocks, values) => {
    const { block } = GGML_TYPES[type];
    const rows = values.length / block / 2;
    const { matrix, exact } = toQuantizedMatrix(type, blocks, rows, 2 * block);
    expect(matrix.data.length).toBe((values.length * matrix.bits) / 8);
    expect(matrix.scales.length).toBe(values.length / matrix.block);
    if (matrix.offsets) expect(matrix.offsets.length).toBe(matrix.scales.length);
    const numbers = numbersOf(matrix);
    expect(exact).toBe(true);
    if (!['Q4_1', 'Q4_K'].includes(type)) {
      expect(numbers.map(Math.fround)).toEqual(Float64Array.from(values));
      return;
    }
    // Up to the rounding of scale, offset and sum: half a unit in the last place of the largest of them, each.
    numbers.forEach((number, i) => {
      const g = Math.floor(i / matrix.block);
      const largest = Math.max(
        8 * Math.abs(matrix.scales[g]!),
        Math.abs(matrix.offsets![g]!),
        Math.abs(values[i]!),
      );
      expect(Math.abs(number - values[i]!)).toBeLessThanOrEqual(4 * largest * 2 ** -24);
    });
  });

  test('and keeps 4 bits as 4 bits, and stores more bits as 8', () => {
    const forms = quantized.map(([type, blocks, values]) => {
      const { matrix } = toQuantizedMatrix(type, blocks, 1, values.length);
      return [type, matrix.bits, matrix.block, matrix.offsets !== undefined];
    });
    expect(forms).toEqual([
      ['Q8_0', 8, 32, false],
      ['Q4_0', 4, 32, false],
      ['Q4_1', 4, 32, true],
      ['Q5_0', 8, 32, false],
      ['Q5_1', 8, 32, true],
      ['Q4_K', 4, 32, true],
      ['Q5_K', 8, 32, true],
      ['Q6_K', 8, 16, false],
    ]);
  });

  test('and refuses floats and sizes that do not match', () => {
    expect(() => toQuantizedMatrix('F16', new Uint8Array(4), 1, 2)).toThrow(/F16 is not a quantized type/);
    expect(() => toQuantizedMatrix('Q8_0', new Uint8Array(34), 2, 16)).toThrow(/not a matrix of 2 × 16/);
    expect(() => toQuantizedMatrix('Q8_0', new Uint8Array(34), 2, 32)).toThrow(RopewalkError);
  });
});
