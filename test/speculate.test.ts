import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { Decoder } from '../src/generation/decoder.ts';
import { type GenerationOptions, generateTokens, prefill } from '../src/generation/generate.ts';
import { Sampler } from '../src/generation/sampler.ts';
import type { Speculation } from '../src/generation/speculate/speculate.ts';
import type { TokenConstraint } from '../src/structured/constraint.ts';
import {
  build,
  collect,
  common,
  configurations,
  engine,
  POSITIONS,
  randomIds,
  randomWeights,
} from './helpers/random-models.node.ts';

const llama = (vocab: number, layers = 1) =>
  build({
    model_type: 'llama',
    ...common,
    vocab_size: vocab,
    hidden_size: 16,
    intermediate_size: 16,
    num_hidden_layers: layers,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    rope_theta: 10000,
  });

const decoderOf = (vocab: number, seed: number, layers = 1) => {
  const model = llama(vocab, layers);
  return Decoder.create(engine, model, randomWeights(model, seed));
};

describe('speculative decoding', () => {
  it.each(Object.keys(configurations))('gives the same ids as greedy decoding: %s', async (family) => {
    await fc.assert(
      fc.asyncProperty(
        configurations[family]!,
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 0, max: 1000 }),
        async (raw, length, seed) => {
          const model = build(raw);
          const { vocab_size: vocab } = model.config;
          const weights = randomWeights(model, seed);
          const decoder = await Decoder.create(engine, model, weights);
          // One draft model is nearly the model: some of its guesses are right.
          const other = new Map(
            [...weights].map(([path, source], i) => {
              const { data } = source as { data: Float32Array };
              return [path, i % 3 === 0 ? { data: data.map((value) => 1.1 * value) } : source];
            }),
          );
          const draft = await Decoder.create(engine, model, other);
          const prompt = randomIds(length, vocab, seed);
          const options = { maxTokens: POSITIONS - length, greedy: true };
          const wanted = await collect(generateTokens(decoder, prompt, options));
          const speculations: Speculation[] = ['lookup', { draft }, { draft: decoder }];
          for (const speculate of speculations) {
            const actual = await collect(generateTokens(decoder, prompt, { ...options, speculate }));
            expect(actual).toEqual(wanted);
          }
          await Promise.all([decoder.release(), draft.release()]);
        },
      ),
      { seed: 4, numRuns: 8 },
    );
  });

  it('needs fewer model runs where text repeats, and about as many where it does not', async () => {
    const decoder = await decoderOf(50, 3);
    const forward = vi.spyOn(decoder, 'forward');
    const runs = async (options: GenerationOptions) => {
      forward.mockClear();
      const ids = await collect(generateTokens(decoder, randomIds(20, 50, 1), options));
      expect(ids).toHaveLength(options.maxTokens);
      return forward.mock.calls.length;
    };
    // With these weights the greedy text runs into a loop.
    expect(await runs({ maxTokens: 120, greedy: true })).toBe(120);
    expect(await runs({ maxTokens: 120, greedy: true, speculate: 'lookup' })).toBeLessThan(60);
    expect(await runs({ maxTokens: 120, temperature: 5, speculate: 'lookup' })).toBeLessThanOrEqual(120);
    // A draft that is the model itself is always right.
    const draft = await decoderOf(50, 3);
    expect(await runs({ maxTokens: 120, temperature: 2, speculate: { draft } })).toBeLessThan(12);
    await Promise.all([decoder.release(), draft.release()]);
  });

  it('draws the same tokens by lookup for equal seeds, whatever the options', async () => {
    const decoder = await decoderOf(6, 3, 2);
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.nat(1000),
          temperature: fc.constantFrom(0.3, 1, 2),
          topK: fc.constantFrom(2, 6),
          repetitionPenalty: fc.constantFrom(1, 1.3),
          stopTokens: fc.constantFrom([], [3]),
          maxTokens: fc.integer({ min: 0, max: 60 }),
        }),
        async (options) => {
          const wanted = await collect(generateTokens(decoder, [1, 2, 1, 2], options));
          const actual = await collect(
            generateTokens(decoder, [1, 2, 1, 2], { ...options, speculate: 'lookup' }),
          );
          expect(actual).toEqual(wanted);
        },
      ),
      { seed: 5, numRuns: 60 },
    );
    await decoder.release();
  });

  it.each<Partial<GenerationOptions>>([
    {},
    { temperature: 0.8, repetitionPenalty: 1.4 },
    { topK: 2, temperature: 1.5 },
    { topP: 0.9 },
  ])('draws tokens with their exact probabilities by a draft model: %o', async (settings) => {
    const [vocab, length, draws] = [3, 4, 4000];
    const decoder = await decoderOf(vocab, 1);
    const draft = await decoderOf(vocab, 2);
    const prompt = [0, 2];
    // The joint distribution of the first tokens, by the definition: one token after another.
    const expected = new Map<string, number>();
    const walk = async (ids: readonly number[], probability: number): Promise<void> => {
      if (ids.length === length) {
        expected.set(ids.join(), probability);
        return;
      }
      const sampler = new Sampler(settings);
      sampler.observe([...prompt, ...ids]);
      const logits = await prefill(decoder, decoder.newCache(), [...prompt, ...ids]);
      const next = sampler.probabilities(logits, []);
      for (let i = 0; i < next.ids.length; i++) {
        if (next.probabilities[i]! > 0) {
          await walk([...ids, next.ids[i]!], probability * next.probabilities[i]!);
        }
      }
    };
    await walk([], 1);
    const counts = new Map<string, number>();
    for (let seed = 0; seed < draws; seed++) {
      const options = { ...settings, seed, maxTokens: length, speculate: { draft } };
      const text = (await collect(generateTokens(decoder, prompt, options))).join();
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
    for (const text of counts.keys()) expect(expected.has(text), text).toBe(true);
    // Rare texts are counted as one.
    const cells: { wanted: number; count: number }[] = [{ wanted: 0, count: 0 }];
    for (const [text, probability] of expected) {
      const cell = { wanted: draws * probability, count: counts.get(text) ?? 0 };
      if (cell.wanted >= 8) cells.push(cell);
      else {
        cells[0]!.wanted += cell.wanted;
        cells[0]!.count += cell.count;
      }
    }
    const used = cells.filter(({ wanted }) => wanted > 3);
    const chiSquare = used.reduce((sum, { wanted, count }) => sum + (count - wanted) ** 2 / wanted, 0);
    const freedom = used.length - 1;
    expect(freedom).toBeGreaterThan(4);
    // The 99.9 % quantile, by Wilson and Hilferty 1931.
    const quantile = freedom * (1 - 2 / (9 * freedom) + 3.09 * Math.sqrt(2 / (9 * freedom))) ** 3;
    expect(chiSquare).toBeLessThan(quantile);
    await Promise.all([decoder.release(), draft.release()]);
  });

  it('leaves the cache as plain decoding does, whenever the reader stops', async () => {
    const decoder = await decoderOf(6, 3);
    for (let most = 1; most < 20; most++) {
      const cache = decoder.newCache();
      const ids: number[] = [];
      const options = { maxTokens: 40, greedy: true, speculate: 'lookup' } as const;
      for await (const id of generateTokens(decoder, [1, 2, 1, 2, 1], options, cache)) {
        ids.push(id);
        if (ids.length === most) break;
      }
      expect(cache.position).toBe(5 + most - 1);
      const fresh = decoder.newCache();
      await prefill(decoder, fresh, [1, 2, 1, 2, 1, ...ids.slice(0, -1)]);
      const [a, b] = [await decoder.forward([2], cache), await decoder.forward([2], fresh)];
      for (const [i, logit] of a.entries()) expect(logit).toBeCloseTo(b[i]!, 4);
    }
    await decoder.release();
  });

  it('obeys constraints and stop signals, and continues from tokens that the cache already holds', async () => {
    const decoder = await decoderOf(8, 3);
    const draft = await decoderOf(8, 4);
    // Never twice the same parity.
    const constraint = (): TokenConstraint => {
      let parity = 0;
      let left = 30;
      return {
        mask: (logits) => {
          for (let id = parity; id < logits.length; id += 2) logits[id] = Number.NEGATIVE_INFINITY;
        },
        accept: (id) => {
          expect(id % 2).not.toBe(parity);
          parity = id % 2;
          left--;
        },
        get finished() {
          return left === 0;
        },
      };
    };
    const first = decoder.newCache();
    await prefill(decoder, first, [1, 2, 3]);
    const tokens = (options: Partial<GenerationOptions>) =>
      collect(
        generateTokens(
          decoder,
          [4, 5],
          { maxTokens: 100, seen: [1, 2, 3], constraint: constraint(), ...options },
          first.clone(),
        ),
      );
    for (const seed of [1, 2, 3]) {
      const wanted = await tokens({ seed });
      expect(wanted).toHaveLength(30);
      expect(await tokens({ seed, speculate: 'lookup' })).toEqual(wanted);
      expect(await tokens({ seed, speculate: { draft } })).toHaveLength(30);
      const greedy = await tokens({ greedy: true });
      expect(await tokens({ greedy: true, speculate: { draft } })).toEqual(greedy);
    }
    const controller = new AbortController();
    const ids: number[] = [];
    const run = async () => {
      const { signal } = controller;
      for await (const id of generateTokens(decoder, [1], { maxTokens: 100, speculate: 'lookup', signal })) {
        if (ids.push(id) === 20) controller.abort(new Error('enough'));
      }
    };
    await expect(run()).rejects.toThrow('enough');
    expect(ids.length).toBeLessThan(20 + 33);
    await Promise.all([decoder.release(), draft.release()]);
  });

  it('refuses a draft model with another vocabulary', async () => {
    const decoder = await decoderOf(8, 3);
    const draft = await decoderOf(9, 3);
    const run = collect(generateTokens(decoder, [1], { maxTokens: 3, speculate: { draft } }));
    await expect(run).rejects.toThrow(/vocabulary of 9 tokens, but the model has 8/);
    const unknown = 'guess' as unknown as 'lookup';
    await expect(collect(generateTokens(decoder, [1], { maxTokens: 3, speculate: unknown }))).rejects.toThrow(
      /speculate must be 'lookup' or/,
    );
    await Promise.all([decoder.release(), draft.release()]);
  });
});
