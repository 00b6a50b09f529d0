import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ggufForm } from '../src/checkpoint/gguf/forms.ts';
import { rotaryRow, toGguf } from '../src/checkpoint/gguf/names.ts';
import { dequantize } from '../src/checkpoint/gguf/reading/dequantize.ts';
import { openModel } from '../src/checkpoint/load.node.ts';
import { familyByName } from '../src/families/registry.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import type { QuantizedMatrix } from '../src/onnx/weights.ts';
import { relativeError } from './helpers/numbers.ts';
import { CONFIGS, TYPES, VOCABULARY, writeRandomGguf } from './helpers/random-gguf.node.ts';

/**
 * Quantized GGUF models run in their own bits: random blocks of every type, whose numbers (as tested against llama.cpp's
 * Python package beside the source) are what a float32 run of the same file computes with.
 */
const scratch = mkdtempSync(join(tmpdir(), 'ropewalk-gguf-bits-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function logitsOf(path: string, quantize: 'none' | undefined): Promise<Float32Array> {
  const opened = await openModel(path);
  const decoder = await createDecoder(opened, { quantize, threads: 1 });
  await opened.checkpoint.tensors.close();
  const ids = Array.from({ length: 12 }, (_, i) => (i * 37 + 5) % VOCABULARY);
  const cache = decoder.newCache();
  const first = await decoder.forward(ids.slice(0, 9), cache, 'all');
  const rest = await decoder.forward(ids.slice(9), cache, 'all');
  await decoder.release();
  return Float32Array.from([...first, ...rest]);
}

describe.each(Object.keys(CONFIGS))('running a quantized GGUF file of %s', (name) => {
  it.each(TYPES)('gives the logits of the dequantized weights: %s', async (type) => {
    const { path } = writeRandomGguf(scratch, name, type);
    const own = await logitsOf(path, undefined);
    const float = await logitsOf(path, 'none');
    expect(Math.max(...float) - Math.min(...float)).toBeGreaterThan(0.01);
    expect(relativeError(own, float)).toBeLessThan(1e-3);
  });
});

describe.each(TYPES)('a GGUF matrix of type %s', (type) => {
  it.each(['llama', 'gpt2'])(
    'has the same numbers read by row, as a whole and in its own bits: %s',
    async (name) => {
      const { path, bytes } = writeRandomGguf(scratch, name, type);
      const gguf = ggufForm(familyByName(name), 'the test');
      const { model, names, checkpoint } = await openModel(path);
      const { tensors } = checkpoint;
      for (const [weight, data] of bytes) {
        const [first, second] = model.parameters().get(weight)!.shape as [number, number];
        const stored = new Float32Array(first * second);
        dequantize(type, data, stored);
        const transform = toGguf(gguf, weight)!.transform;
        const transposed = transform === 'transposed';
        const [rows, width] = transposed ? [second, first] : [first, second];
        // Row-major `[out, in]`, in Hugging Face's order of rows.
        const at = (row: number) => (transform.startsWith('rotary') ? rotaryRow(row, 64) : row) * width;
        const values = await tensors.readFloat32(names.get(weight)!);
        const expected = new Float32Array(stored.length);
        for (let row = 0; row < rows; row++)
          expected.set(stored.subarray(at(row), at(row) + width), row * width);
        const turned = transposed
          ? Float32Array.from(values, (_, i) => values[(i % width) * rows + Math.floor(i / width)]!)
          : values;
        expect(same(turned, expected), weight).toBe(true);
        if (!transposed) {
          const reader = await tensors.openRows(names.get(weight)!);
          const read = new Float32Array(stored.length);
          for (let row = rows - 1; row >= 0; row--) reader.read(row, read, row * width);
          reader.close();
          expect(same(read, expected), weight).toBe(true);
        }
        const form = tensors.quantizedForm!(names.get(weight)!)!;
        expect([form.rows, form.columns]).toEqual([rows, width]);
        // Offsets of 4-bit types move to the middle code, which rounds once more.
        expect(relativeError(numbersOf(await form.read()), expected)).toBeLessThan(1e-6);
      }
      await tensors.close();
    },
  );
});

function same(actual: Float32Array, expected: Float32Array): boolean {
  return Buffer.from(actual.buffer).equals(Buffer.from(expected.buffer));
}

/** What the engine makes of a matrix in few bits. */
function numbersOf({ rows, columns, bits, block, data, scales, offsets }: QuantizedMatrix): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, i) => {
    const code = bits === 8 ? data[i]! : (data[i >> 1]! >> (4 * (i & 1))) & 15;
    const group = Math.floor(i / block);
    return scales[group]! * (code - 2 ** (bits - 1)) + (offsets?.[group] ?? 0);
  });
}
