import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ggufForm } from '../src/checkpoint/gguf/forms.ts';
import { rotaryRow, toGguf } from '../src/checkpoint/gguf/names.ts';
import { dequantize } from '../src/checkpoint/gguf/reading/dequantize.ts';
import type { GgmlType } from '../src/checkpoint/gguf/types.ts';
import { entriesFromConfig } from '../src/checkpoint/gguf/writing/entries.ts';
import { quantize } from '../src/checkpoint/gguf/writing/quantize.ts';
import { openModel } from '../src/checkpoint/load.node.ts';
import { familyByName } from '../src/families/registry.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import type { QuantizedMatrix } from '../src/onnx/weights.ts';
import { relativeError } from './helpers/numbers.ts';
import { randomBlocks, rawGguf } from './helpers/raw-gguf.ts';

/**
 * Quantized GGUF models run in their own bits: random blocks of every type, whose numbers (as tested against llama.cpp's
 * Python package beside the source) are what a float32 run of the same file computes with.
 */
const scratch = mkdtempSync(join(tmpdir(), 'ropewalk-gguf-bits-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const TYPES = ['Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q4_K', 'Q5_K', 'Q6_K'] as const;
const VOCABULARY = 64;

/** Sizes of which every row is whole blocks of 256, and heads that differ from the width. */
const CONFIGS: Readonly<Record<string, Record<string, unknown>>> = {
  llama: { num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64 },
  gemma: { num_attention_heads: 4, num_key_value_heads: 1, head_dim: 64 },
  gemma2: {
    ...{ num_attention_heads: 4, num_key_value_heads: 2, head_dim: 128, query_pre_attn_scalar: 128 },
    ...{ sliding_window: 5, attn_logit_softcapping: 50, final_logit_softcapping: 30 },
  },
  gpt2: { n_embd: 256, n_layer: 2, n_head: 4, n_positions: 32, n_inner: 512, layer_norm_epsilon: 1e-5 },
};

function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A model of random weights; where they are quantized, their stored bytes by the names of the weights. */
function writeModel(name: string, type: GgmlType): { path: string; bytes: Map<string, Uint8Array> } {
  const random = randomNumbers(TYPES.indexOf(type as 'Q8_0') + 11);
  const family = familyByName(name);
  const raw = {
    ...{ model_type: family.modelType, vocab_size: VOCABULARY, hidden_size: 256, intermediate_size: 512 },
    ...{ num_hidden_layers: 2, max_position_embeddings: 32, rms_norm_eps: 1e-5, rope_theta: 10000 },
    ...{ tie_word_embeddings: name !== 'llama', ...CONFIGS[name] },
  };
  const config = family.readConfig(raw, 'the test');
  const form = ggufForm(family, 'the test');
  const bytes = new Map<string, Uint8Array>();
  const tensors = [...family.build(config).parameters()].map(([path, parameter]) => {
    const { name: stored, transform } = toGguf(form, path)!;
    const shape = transform === 'transposed' ? parameter.shape.toReversed() : parameter.shape;
    const count = parameter.size;
    if (shape.length === 2 && stored !== 'position_embd.weight') {
      const data = randomBlocks(type, count, random, type.endsWith('K') ? 0x0200 : 0x1000);
      bytes.set(path, data);
      return { name: stored, shape, type, bytes: data };
    }
    const norm = /norm.*weight/.test(stored) ? 1 : 0;
    const values = Float32Array.from({ length: count }, () => norm + (random() - 0.5) / 4);
    return { name: stored, shape, type: 'F32' as const, bytes: quantize('F32', values) };
  });
  const metadata = [
    ['general.architecture', 'string', name] as const,
    ...entriesFromConfig(form, config, 'the test'),
  ];
  const path = join(scratch, `${name}-${type}.gguf`);
  writeFileSync(path, rawGguf(metadata, tensors));
  return { path, bytes };
}

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
    const { path } = writeModel(name, type);
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
      const { path, bytes } = writeModel(name, type);
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
