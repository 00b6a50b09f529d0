import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { generateBatch } from '../src/generation/batch.ts';
import { PrefixCache } from '../src/generation/cache/prefix-cache.ts';
import { Decoder } from '../src/generation/decoder.ts';
import { generateTokens, prefill } from '../src/generation/generate.ts';
import { relativeError } from './helpers/numbers.ts';
import {
  build,
  collect,
  common,
  configurations,
  engine,
  randomIds,
  randomWeights,
} from './helpers/random-models.node.ts';

const llama = (positions = 2000) =>
  build({
    model_type: 'llama',
    ...common,
    max_position_embeddings: positions,
    vocab_size: 50,
    hidden_size: 16,
    intermediate_size: 16,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    rope_theta: 10000,
  });

async function newDecoder(seed = 1) {
  const model = llama();
  return Decoder.create(engine, model, randomWeights(model, seed));
}

/** Ids of all runs since the last call. */
function watch(decoder: Decoder) {
  const forward = vi.spyOn(decoder, 'forward');
  return () => {
    const counts = forward.mock.calls.map(([ids]) => ids.length);
    forward.mockClear();
    return counts;
  };
}

describe('a prefix cache', () => {
  it.each(Object.keys(configurations))(
    'gives the logits that are computed without it: %s',
    async (family) => {
      await fc.assert(
        fc.asyncProperty(
          configurations[family]!,
          // Texts that share beginnings of two others, of all lengths.
          fc.array(fc.tuple(fc.nat(1), fc.nat(70), fc.integer({ min: 1, max: 30 })), {
            minLength: 2,
            maxLength: 8,
          }),
          fc.nat(1000),
          async (raw, texts, seed) => {
            const model = build(raw);
            const { vocab_size: vocab } = model.config;
            const decoder = await Decoder.create(engine, model, randomWeights(model, seed));
            const prefixes = new PrefixCache(decoder, { maxBytes: 1e6 });
            const bases = [randomIds(70, vocab, seed), randomIds(70, vocab, seed + 1)];
            for (const [i, [base, kept, more]] of texts.entries()) {
              const ids = [...bases[base]!.subarray(0, kept), ...randomIds(more, vocab, seed + i)];
              const cache = prefixes.take(ids);
              expect(cache.position).toBeLessThan(ids.length);
              const actual = await prefill(decoder, cache, ids.slice(cache.position), 16);
              const wanted = await prefill(decoder, decoder.newCache(), ids, 16);
              expect(relativeError(actual, wanted)).toBeLessThanOrEqual(2e-5);
              prefixes.put(ids, cache);
              expect(prefixes.bytes).toBeLessThanOrEqual(1e6);
            }
            await decoder.release();
          },
        ),
        { seed: 2, numRuns: 12 },
      );
    },
  );

  it('computes only the new part of a second prompt', async () => {
    const decoder = await newDecoder();
    const runs = watch(decoder);
    const prefixCache = new PrefixCache(decoder);
    const system = [...randomIds(300, 50, 1)];
    const options = { maxTokens: 5, greedy: true };
    const ask = (question: number[]) =>
      collect(generateTokens(decoder, [...system, ...question], { ...options, prefixCache }));
    const plain = (ids: number[]) => collect(generateTokens(decoder, ids, options));
    const first = await ask([1, 2, 3]);
    expect(runs()).toEqual([256, 47, 1, 1, 1, 1]);
    const second = await ask([7, 8]);
    expect(runs()).toEqual([2, 1, 1, 1, 1]);
    // Going on with the first text: all but the answer's last token, which has never been run.
    const third = await ask([1, 2, 3, ...first, 9]);
    expect(runs()).toEqual([2, 1, 1, 1, 1]);
    // Again the same: only the last token has to run.
    expect(await ask([7, 8])).toEqual(second);
    expect(runs()).toEqual([1, 1, 1, 1, 1]);
    expect([first, second, third]).toEqual([
      await plain([...system, 1, 2, 3]),
      await plain([...system, 7, 8]),
      await plain([...system, 1, 2, 3, ...first, 9]),
    ]);
    // The first text is the beginning of the third.
    expect(prefixCache.size).toBe(2);
    prefixCache.clear();
    expect(prefixCache.bytes).toBe(0);
    await decoder.release();
  });

  it('evicts the least recently used entry first', async () => {
    const decoder = await newDecoder();
    const texts = [0, 1, 2, 3].map((i) => [i, ...randomIds(100, 50, i)]);
    const made = async (ids: number[]) => {
      const cache = decoder.newCache();
      await prefill(decoder, cache, ids);
      return cache;
    };
    const each = (await made(texts[0]!)).bytes;
    const prefixes = new PrefixCache(decoder, { maxBytes: 3 * each });
    for (const i of [0, 1, 2]) prefixes.put(texts[i]!, await made(texts[i]!));
    expect(prefixes.take([...texts[0]!.slice(0, 50), 3]).position).toBe(50);
    prefixes.put(texts[3]!, await made(texts[3]!));
    expect(prefixes.bytes).toBe(3 * each);
    const known = texts.map((ids) => prefixes.take([...ids.slice(0, 100), 49]).position >= 100);
    expect(known).toEqual([true, false, true, true]);
    // What is too large alone is not kept, and drives nothing out.
    const large = decoder.newCache();
    await prefill(decoder, large, randomIds(1000, 50, 9));
    prefixes.put(randomIds(1000, 50, 9), large);
    expect(prefixes.size).toBe(3);
    await decoder.release();
  });

  it('serves concurrent texts and speculation, and survives a reader that leaves', async () => {
    const decoder = await newDecoder();
    const system = [...randomIds(200, 50, 1)];
    const prefixCache = new PrefixCache(decoder);
    const prompts = [1, 2, 3].map((i) => [...system, i]);
    const options = { maxTokens: 12, greedy: true };
    const wanted: number[][] = [];
    for (const prompt of prompts) wanted.push(await collect(generateTokens(decoder, prompt, options)));
    for await (const _ of generateTokens(decoder, prompts[0]!, { ...options, prefixCache })) break;
    const runs = watch(decoder);
    const actual: number[][] = [[], [], []];
    for await (const { sequence, id } of generateBatch(decoder, prompts, { ...options, prefixCache })) {
      actual[sequence]!.push(id);
    }
    expect(actual).toEqual(wanted);
    expect(runs().slice(0, 3)).toEqual([1, 1, 1]);
    const again = generateTokens(decoder, prompts[2]!, { ...options, prefixCache, speculate: 'lookup' });
    expect(await collect(again)).toEqual(wanted[2]);
    expect(runs()[0]).toBe(1);
    // A prompt that is stopped between its chunks leaves what has been run.
    const controller = new AbortController();
    const long = randomIds(1000, 50, 5);
    const { signal } = controller;
    const stopped = collect(generateTokens(decoder, long, { ...options, prefixCache, signal }));
    controller.abort(new Error('enough'));
    await expect(stopped).rejects.toThrow('enough');
    expect(prefixCache.take(long).position % 256).toBe(0);
    await decoder.release();
  });

  it('refuses another decoder, another cache, and an invalid budget', async () => {
    const decoder = await newDecoder();
    const other = await newDecoder(2);
    const prefixCache = new PrefixCache(decoder);
    const options = { maxTokens: 1, prefixCache };
    await expect(collect(generateTokens(other, [1], options))).rejects.toThrow(/another decoder/);
    const both = generateTokens(decoder, [1], options, decoder.newCache());
    await expect(collect(both)).rejects.toThrow(/cannot be combined/);
    expect(() => new PrefixCache(decoder, { maxBytes: -1 })).toThrow(/at least 0/);
    await Promise.all([decoder.release(), other.release()]);
  });
});
