import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { families } from '../src/families/registry.ts';
import { Decoder } from '../src/generation/decoder.ts';
import { Random } from '../src/random.ts';
import { relativeError } from './helpers/numbers.ts';
import {
  build,
  cachedLogits,
  common,
  configurations,
  engine,
  fullLogits,
  POSITIONS,
  randomIds,
  randomWeights,
} from './helpers/random-models.node.ts';

describe('a key-value cache', () => {
  it.each(Object.keys(configurations))(
    'gives the logits of a pass without a cache, whatever the %s and the chunks',
    async (family) => {
      await fc.assert(
        fc.asyncProperty(
          configurations[family]!,
          fc.array(fc.integer({ min: 1, max: 17 }), { minLength: 1, maxLength: 6 }),
          fc.integer({ min: 2, max: 70 }),
          fc.integer({ min: 0, max: 1000 }),
          async (raw, chunks, length, seed) => {
            const model = build(raw);
            const weights = randomWeights(model, seed);
            const ids = randomIds(length, model.config.vocab_size, seed + 1);
            const expected = await fullLogits(model, weights, ids);
            const decoder = await Decoder.create(engine, model, weights);
            const { logits } = await cachedLogits(decoder, ids, chunks);
            await decoder.release();
            expect(relativeError(logits, expected)).toBeLessThanOrEqual(2e-5);
          },
        ),
        { seed: 20260, numRuns: 16 },
      );
    },
  );

  const gemma2 = (layer_types: string[], window: number, head_dim = 6) =>
    build({
      model_type: 'gemma2',
      ...common,
      vocab_size: 19,
      hidden_size: 12,
      intermediate_size: 16,
      num_hidden_layers: layer_types.length,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim,
      query_pre_attn_scalar: 5,
      sliding_window: window,
      layer_types,
      rope_theta: 10000,
      attn_logit_softcapping: 1.5,
      final_logit_softcapping: 3,
    });
  const LOCAL = 'sliding_attention';
  const GLOBAL = 'full_attention';

  it.each([
    [1, 6],
    [2, 6],
    [5, 6],
    [16, 6],
    [1, 8],
    [2, 8],
    [7, 8],
    [5, 16],
  ])(
    'that rolls stays correct and small long after a window of %d, with heads of %d',
    async (window, headDim) => {
      const model = gemma2([LOCAL, GLOBAL, LOCAL], window, headDim);
      const weights = randomWeights(model, 5);
      const ids = randomIds(POSITIONS, 19, 6);
      const expected = await fullLogits(model, weights, ids);
      const decoder = await Decoder.create(engine, model, weights);
      const random = new Random(7);
      const chunks = Array.from({ length: 40 }, () => 1 + random.nextInt(2 * window + 3));
      const { logits, cache } = await cachedLogits(decoder, ids, chunks);
      expect(relativeError(logits, expected)).toBeLessThanOrEqual(2e-5);
      // Keys and values, float32, of 2 heads: all tokens in the global layer, window − 1 in the local ones.
      const perToken = 2 * 4 * 2 * headDim;
      expect(cache.heldBytes).toBe(perToken * (POSITIONS + 2 * (window - 1)));
      await decoder.release();
    },
  );

  it.each(families.filter(({ presets }) => 'sliding_window' in presets.tiny!.config))(
    'of $name rolls in its local layers',
    async (family) => {
      const raw = family.writeConfig(family.presets.tiny!.config);
      const window = 5;
      const typed = 'layer_types' in raw;
      const types = typed ? [LOCAL, GLOBAL, LOCAL, LOCAL] : [LOCAL, LOCAL, LOCAL, LOCAL];
      const slides = { sliding_window: window, use_sliding_window: true };
      const model = build({ ...raw, ...slides, ...(typed && { layer_types: types }) });
      const decoder = await Decoder.create(engine, model, randomWeights(model, 5));
      const ids = randomIds(60, model.config.vocab_size, 6);
      const { cache } = await cachedLogits(decoder, ids, [1, 7, 20, 3]);
      // Keys and values, float32, of 2 heads of 24.
      const held = types.map((type) => 2 * 4 * 2 * 24 * (type === LOCAL ? window - 1 : ids.length));
      expect(cache.heldBytes).toBe(held.reduce((sum, bytes) => sum + bytes, 0));
      await decoder.release();
    },
  );

  it('of local layers alone takes no more memory for longer texts', async () => {
    const window = 2;
    const model = gemma2([LOCAL, LOCAL], window, 8);
    const decoder = await Decoder.create(engine, model, randomWeights(model, 1));
    const cache = decoder.newCache();
    let early = 0;
    for (const [i, id] of randomIds(POSITIONS, 19, 2).entries()) {
      await decoder.forward([id], cache);
      if (i === 64) early = cache.bytes;
    }
    expect(cache.bytes).toBe(early);
    // Keys and values of two layers, two heads of 8, float32.
    expect(cache.heldBytes).toBe(2 * 2 * 2 * 8 * 4 * (window - 1));
    await decoder.release();
  });

  it('refuses ids outside the vocabulary and tokens past the last position', async () => {
    const model = gemma2([LOCAL], 4);
    const decoder = await Decoder.create(engine, model, randomWeights(model, 1));
    const cache = decoder.newCache();
    for (const id of [19, -1, 1.5, Number.NaN]) {
      await expect(decoder.forward([3, id], cache)).rejects.toThrow(/token id .* at position 1 is outside/);
    }
    await expect(decoder.forward([], cache)).rejects.toThrow(/no tokens to run/);
    await expect(decoder.forward(new Int32Array(POSITIONS + 1), cache)).rejects.toThrow(
      /this model has 160 positions/,
    );
    expect(cache.position).toBe(0);
    await decoder.release();
  });
});
