import { describe, expect, it } from 'vitest';
import type { CausalLM } from '../src/families/family.ts';
import { generateBatch } from '../src/generation/batch.ts';
import { PrefixCache } from '../src/generation/cache/prefix-cache.ts';
import { Decoder } from '../src/generation/decoder.ts';
import { generateTokens, prefill } from '../src/generation/generate.ts';
import type { WeightSource } from '../src/onnx/emit.ts';
import { type Quantization, quantizeMatrix } from '../src/onnx/quantize.ts';
import { quantizedSource } from '../src/onnx/weights.ts';
import { rowsOfSameBits } from '../src/runtime/row-bits.ts';
import { build, collect, common, engine, randomIds, randomWeights } from './helpers/random-models.node.ts';

/**
 * The same prompt gives the same greedy ids whatever runs beside or before it, with weights in few bits: bit for bit in
 * batches of 8-bit activations, and up to the rounding of sums with exact ones. What cannot is refused.
 */

const VOCAB = 301;
const SIZES = {
  ...common,
  max_position_embeddings: 200,
  vocab_size: VOCAB,
  hidden_size: 64,
  intermediate_size: 160,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  rope_theta: 10000,
};
const MODELS: Readonly<Record<string, Record<string, unknown>>> = {
  llama: { model_type: 'llama', ...SIZES },
  gemma: { model_type: 'gemma', ...SIZES },
  gemma2: {
    model_type: 'gemma2',
    ...SIZES,
    sliding_window: 9,
    layer_types: ['sliding_attention', 'full_attention', 'sliding_attention'],
    attn_logit_softcapping: 4,
    final_logit_softcapping: 30,
    query_pre_attn_scalar: 16,
  },
};
const PROMPTS = Array.from({ length: 40 }, (_, i) => {
  // Some repeat themselves, so that lookup finds something.
  const ids = [...randomIds(3 + (i % 13), VOCAB, i)];
  return i % 2 === 0 ? ids : [...ids, ...ids, ...ids.slice(0, 2)];
});
const GREEDY = { maxTokens: 24, greedy: true };

function fewBits(model: CausalLM, form: Quantization, exact: boolean): Map<string, WeightSource> {
  return new Map(
    [...randomWeights(model, 3)].map(([path, source]) => {
      const [rows, columns] = model.parameters().get(path)!.shape as number[];
      if (columns === undefined || /embed_tokens|lm_head/.test(path)) return [path, source];
      const { data } = source as { data: Float32Array };
      const matrix = quantizeMatrix(data, rows!, columns, form);
      return [path, { quantized: { ...quantizedSource(matrix), exact } }];
    }),
  );
}

function decoderOf(name: string, form: Quantization, exact: boolean): Promise<Decoder> {
  const model = build(MODELS[name]!);
  return Decoder.create(engine, model, fewBits(model, form, exact));
}

const idsOf = (decoder: Decoder, prompt: number[], options: object = {}) =>
  collect(generateTokens(decoder, prompt, { ...GREEDY, ...options }));

async function batched(decoder: Decoder): Promise<number[][]> {
  const ids: number[][] = PROMPTS.map(() => []);
  for await (const { sequence, id } of generateBatch(decoder, PROMPTS, GREEDY)) ids[sequence]!.push(id);
  return ids;
}

const EXACT: [string, Quantization][] = [
  ['llama', { bits: 4, block: 32 }],
  ['llama', { bits: 4, block: 64 }],
  ['llama', { bits: 4, block: 128 }],
  ['llama', { bits: 8, block: 64 }],
  ['gemma', { bits: 4, block: 64 }],
  ['gemma2', { bits: 4, block: 64 }],
];

describe('decoding with exact activations', () => {
  it.each(EXACT)(
    '%s, %o: gives 40 prompts the same ids alone, speculatively, in batches and behind cached prefixes',
    async (name, form) => {
      const decoder = await decoderOf(name, form, true);
      const draft = await decoderOf(name, { bits: 4, block: 32 }, false);
      const alone: number[][] = [];
      for (const prompt of PROMPTS) alone.push(await idsOf(decoder, prompt));
      const prefixCache = new PrefixCache(decoder);
      for (const [i, prompt] of PROMPTS.entries()) {
        expect(await idsOf(decoder, prompt, { speculate: 'lookup' })).toEqual(alone[i]);
        expect(await idsOf(decoder, prompt, { prefixCache })).toEqual(alone[i]);
        // Behind all of the prompt but its last token.
        expect(await idsOf(decoder, prompt, { prefixCache })).toEqual(alone[i]);
        if (i % 4 === 0) expect(await idsOf(decoder, prompt, { speculate: { draft } })).toEqual(alone[i]);
      }
      expect(await batched(decoder)).toEqual(alone);
      await Promise.all([decoder.release(), draft.release()]);
    },
  );
});

const ROUNDED: [string, Quantization][] = [
  ['llama', { bits: 4, block: 32 }],
  ['llama', { bits: 8, block: 32 }],
  ['llama', { bits: 8, block: 64 }],
  ['gemma', { bits: 4, block: 32 }],
];

describe('decoding with 8-bit activations', () => {
  it.each(ROUNDED)(
    '%s, %o: gives a batch bit for bit what each sequence gets alone, or refuses it',
    async (name, form) => {
      const decoder = await decoderOf(name, form, false);
      const hasZeroPoints = form.bits === 4;
      expect(decoder.sameRows).toBe(await rowsOfSameBits(engine, { ...form, hasZeroPoints }));
      if (decoder.sameRows < 8) {
        console.log(`this processor adds up ${decoder.sameRows + 1} rows of ${form.block} in another order`);
        await expect(batched(decoder)).rejects.toThrow(/would get different tokens than alone/);
      } else {
        const alone: number[][] = [];
        for (const prompt of PROMPTS) alone.push(await idsOf(decoder, prompt));
        expect(await batched(decoder)).toEqual(alone);
        // Not the ids alone: every bit of the logits.
        const together = decoder.newBatchCache(5);
        const caches = await Promise.all(
          PROMPTS.slice(0, 5).map(async (prompt) => {
            const cache = decoder.newCache();
            await prefill(decoder, cache, prompt);
            together.join(cache);
            return cache;
          }),
        );
        for (let step = 0; step < 10; step++) {
          const next = randomIds(5, VOCAB, step);
          const logits = (await decoder.forwardBatch(next, together)).slice();
          for (const [i, cache] of caches.entries()) {
            const own = await decoder.forward([next[i]!], cache);
            expect(logits.subarray(i * VOCAB, (i + 1) * VOCAB)).toEqual(own);
          }
        }
      }
      await decoder.release();
    },
  );

  it('refuses batches when several rows are summed in another order than one', async () => {
    const decoder = await decoderOf('llama', { bits: 4, block: 128 }, false);
    if (decoder.sameRows < 8) {
      const run = batched(decoder);
      await expect(run).rejects.toThrow(/blocks of 32 \(block: 32\), or with exact activations/);
    } else expect(await batched(decoder)).toHaveLength(PROMPTS.length);
    await decoder.release();
  });

  it('refuses speculation, prefix caches and batches of sliding windows, with the remedy', async () => {
    const decoder = await decoderOf('llama', { bits: 4, block: 32 }, false);
    const draft = await decoderOf('llama', { bits: 4, block: 32 }, true);
    const remedy = /exact activations \(activations: 'exact'\)/;
    await expect(idsOf(decoder, [1], { speculate: 'lookup' })).rejects.toThrow(remedy);
    await expect(idsOf(decoder, [1], { speculate: { draft } })).rejects.toThrow(remedy);
    expect(() => new PrefixCache(decoder)).toThrow(remedy);
    const rolling = await decoderOf('gemma2', { bits: 4, block: 32 }, false);
    await expect(batched(rolling)).rejects.toThrow(remedy);
    await Promise.all([decoder.release(), draft.release(), rolling.release()]);
  });
});
