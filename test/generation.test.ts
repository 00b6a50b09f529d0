import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CausalLM } from '../src/families/family.ts';
import { modelFromConfig } from '../src/families/registry.ts';
import { Decoder, fullLogitsGraph } from '../src/generation/decoder.ts';
import { generateTokens, prefill } from '../src/generation/generate.ts';
import { generateText } from '../src/generation/generate-text.ts';
import { argmax, distribution, Sampler, type SamplingOptions } from '../src/generation/sampler.ts';
import { StopStrings } from '../src/generation/text.ts';
import type { WeightSource } from '../src/onnx/emit.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { Executable } from '../src/runtime/executable.ts';
import { bpeTokenizerConfig, trainBpe } from '../src/text/bpe-trainer.ts';
import { Random } from '../src/text/random.ts';
import { Tokenizer } from '../src/text/tokenizer.ts';
import { relativeError } from './helpers/numbers.ts';

const engine = nodeEngine({ threads: 1 });
const POSITIONS = 160;

type RawConfig = Record<string, unknown>;

function build(raw: RawConfig): CausalLM {
  return modelFromConfig(raw, 'the test').model;
}

/** Weights large enough that attention is sharp and soft-caps bite. */
function randomWeights(model: CausalLM, seed: number): Map<string, WeightSource> {
  const random = new Random(seed);
  return new Map(
    [...model.parameters()].map(([path, { size, shape }]) => {
      const scale = shape.length < 2 ? 0.3 : 1.5 / Math.sqrt(shape.at(-1)!);
      return [path, { data: Float32Array.from({ length: size }, () => scale * random.nextGaussian()) }];
    }),
  );
}

function randomIds(count: number, vocab: number, seed: number): Int32Array {
  const random = new Random(seed);
  return Int32Array.from({ length: count }, () => random.nextInt(vocab));
}

async function fullLogits(model: CausalLM, weights: Map<string, WeightSource>, ids: Int32Array) {
  const executable = await Executable.compile(engine, fullLogitsGraph(model, 1, ids.length), { weights });
  const { logits } = await executable.run({ input_ids: { data: ids, shape: [ids.length] } });
  await executable.release();
  return logits!.data as Float32Array;
}

/** Logits of all tokens through a new cache, in chunks of the given sizes, again and again. */
async function cachedLogits(decoder: Decoder, ids: Int32Array, chunks: readonly number[]) {
  const { vocab_size: vocab } = decoder.model.config;
  const cache = decoder.newCache();
  const logits = new Float32Array(ids.length * vocab);
  for (let start = 0, i = 0; start < ids.length; i++) {
    const end = Math.min(ids.length, start + chunks[i % chunks.length]!);
    logits.set(await decoder.forward(ids.subarray(start, end), cache, 'all'), start * vocab);
    start = end;
  }
  return { logits, cache };
}

const size = (...values: number[]) => fc.constantFrom(...values);

const gptSizes = fc.record({ n_head: size(1, 2, 3), width: size(2, 6, 8), n_layer: size(1, 2, 3) });
const sizes = fc.record({
  vocab_size: size(11, 30),
  hidden_size: size(6, 8, 20),
  intermediate_size: size(5, 16),
  num_hidden_layers: size(1, 2, 3),
  num_key_value_heads: size(1, 2, 3),
  group: size(1, 2, 4),
  // Multiples of 8 go another way in the engine.
  head_dim: size(2, 8, 10, 16),
  tie_word_embeddings: fc.boolean(),
  rope_theta: size(100, 10000),
});

const common = { max_position_embeddings: POSITIONS, rms_norm_eps: 1e-5 };
const withHeads = <T extends { num_key_value_heads: number; group: number }>(drawn: T) => ({
  ...common,
  ...drawn,
  num_attention_heads: drawn.num_key_value_heads * drawn.group,
});

/** Random configurations of each family, in Hugging Face's terms. */
const configurations: Record<string, fc.Arbitrary<RawConfig>> = {
  gpt: gptSizes.map(({ n_head, width, n_layer }) => ({
    model_type: 'ctrl',
    vocab_size: 13,
    n_embd: n_head * width,
    dff: 9,
    n_layer,
    n_head,
    n_positions: POSITIONS,
    layer_norm_epsilon: 1e-6,
  })),
  gpt2: fc
    .record({ sizes: gptSizes, n_inner: fc.constantFrom(null, 7), tie_word_embeddings: fc.boolean() })
    .map(({ sizes: { n_head, width, n_layer }, n_inner, tie_word_embeddings }) => ({
      model_type: 'gpt2',
      vocab_size: 17,
      n_embd: n_head * width,
      n_inner,
      n_layer,
      n_head,
      n_positions: POSITIONS,
      layer_norm_epsilon: 1e-5,
      tie_word_embeddings,
    })),
  gemma: sizes.map((drawn) => ({ model_type: 'gemma', ...withHeads(drawn) })),
  gemma2: fc
    .record({
      drawn: sizes,
      window: fc.integer({ min: 1, max: 12 }),
      locals: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
      attn_logit_softcapping: fc.constantFrom(null, 0.8, 4),
      final_logit_softcapping: fc.constantFrom(null, 1.5, 30),
      query_pre_attn_scalar: size(1, 7, 24),
    })
    .map(({ drawn, window, locals, ...rest }) => ({
      model_type: 'gemma2',
      ...withHeads(drawn),
      ...rest,
      sliding_window: window,
      layer_types: locals
        .slice(0, drawn.num_hidden_layers)
        .map((local) => (local ? 'sliding_attention' : 'full_attention')),
    })),
  llama: fc
    .record({ drawn: sizes, scaled: fc.boolean(), attention_bias: fc.boolean(), mlp_bias: fc.boolean() })
    .map(({ drawn: { rope_theta, ...drawn }, scaled, ...rest }) => ({
      model_type: 'llama',
      ...withHeads(drawn),
      ...rest,
      rope_parameters: {
        rope_theta,
        ...(scaled && {
          rope_type: 'llama3',
          factor: 8,
          low_freq_factor: 1,
          high_freq_factor: 4,
          original_max_position_embeddings: 24,
        }),
      },
    })),
};

describe('a cache', () => {
  it.each(Object.keys(configurations))(
    'gives the logits of a pass without one, whatever the %s and the chunks',
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
  ])(
    'that rolls stays right and small long after a window of %d, with heads of %d',
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

  it('of local layers alone takes no more memory however long the text', async () => {
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
      /positions end at 160/,
    );
    expect(cache.position).toBe(0);
    await decoder.release();
  });
});

describe('generating', () => {
  const text = 'the rope and the walk and the walker and the rope again, and so on and on. '.repeat(20);
  const tokenizerJson = trainBpe([text], { vocabSize: 290 });
  const tokenizer = Tokenizer.fromJSON(tokenizerJson, bpeTokenizerConfig(tokenizerJson));
  const vocab = tokenizer.vocabSize;
  let decoder: Decoder;
  beforeAll(async () => {
    const model = build({
      model_type: 'llama',
      ...common,
      vocab_size: vocab,
      hidden_size: 16,
      intermediate_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      rope_theta: 10000,
    });
    decoder = await Decoder.create(engine, model, randomWeights(model, 3));
  });
  afterAll(() => decoder.release());

  async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
    const all: T[] = [];
    for await (const one of source) all.push(one);
    return all;
  }
  const prompt = [5, 9, 200];
  const tokens = (options: Omit<Parameters<typeof generateTokens>[2], 'maxTokens'>, maxTokens = 30) =>
    collect(generateTokens(decoder, prompt, { maxTokens, ...options }));

  it('greedily is deterministic, and takes the likeliest token each time', async () => {
    const ids = await tokens({ greedy: true });
    expect(ids).toHaveLength(30);
    expect(await tokens({ greedy: true, seed: 5 })).toEqual(ids);
    const cache = decoder.newCache();
    let logits = await decoder.forward(prompt, cache);
    for (const id of ids) {
      expect(id).toBe(argmax(logits));
      logits = await decoder.forward([id], cache);
    }
  });

  it('with equal seeds gives equal texts, with others others', async () => {
    const [a, b, c] = [await tokens({ seed: 1 }), await tokens({ seed: 1 }), await tokens({ seed: 2 })];
    expect(b).toEqual(a);
    expect(c).not.toEqual(a);
  });

  it('ends with the first of several stop tokens', async () => {
    const free = await tokens({ seed: 4 });
    const [first, second] = [free[6]!, free[11]!];
    const end = Math.min(free.indexOf(first), free.indexOf(second));
    expect(await tokens({ seed: 4, stopTokens: [second, first] })).toEqual(free.slice(0, end + 1));
  });

  it('gives as many tokens as were asked for, and none for none', async () => {
    expect(await tokens({ seed: 1 }, 0)).toEqual([]);
    expect(await tokens({ seed: 1 }, 1)).toHaveLength(1);
    expect(await tokens({ seed: 1 }, POSITIONS - prompt.length)).toHaveLength(POSITIONS - prompt.length);
    await expect(tokens({ seed: 1 }, POSITIONS - prompt.length + 1)).rejects.toThrow(
      /3 prompt tokens and 158 new ones do not fit into the model's 160 positions/,
    );
    await expect(tokens({}, -1)).rejects.toThrow(/whole number of at least 0/);
  });

  it('stops between two tokens when it is told to', async () => {
    const controller = new AbortController();
    const ids: number[] = [];
    const run = async () => {
      for await (const id of generateTokens(decoder, prompt, { maxTokens: 100, signal: controller.signal })) {
        ids.push(id);
        if (ids.length === 7) controller.abort(new Error('enough'));
      }
    };
    await expect(run()).rejects.toThrow('enough');
    expect(ids).toHaveLength(7);
  });

  it('stops between the chunks of a long prompt when it is told to', async () => {
    const controller = new AbortController();
    const cache = decoder.newCache();
    const ids = randomIds(150, vocab, 8);
    const running = prefill(decoder, cache, ids, 1, controller.signal);
    setTimeout(() => controller.abort(), 2);
    await expect(running).rejects.toThrow(/abort/);
    expect(cache.position).toBeLessThan(150);
  });

  it('ends a text before a stop string, wherever the tokens break', async () => {
    const options = { maxTokens: 60, seed: 9 };
    const pieces = await collect(generateText(decoder, tokenizer, 'the', options));
    const free = pieces.join('');
    for (let at = 3; at + 4 < free.length; at += 7) {
      const stop = free.slice(at, at + 1 + (at % 4));
      const stopped = await collect(generateText(decoder, tokenizer, 'the', { ...options, stop: [stop] }));
      expect(stopped.join('')).toBe(free.slice(0, free.indexOf(stop)));
    }
  });

  it('refuses logits that are not numbers, rather than to write nonsense', () => {
    const logits = Float32Array.of(1, Number.NaN, 2);
    expect(() => new Sampler().next(logits)).toThrow(/logits that are not numbers/);
    expect(() => new Sampler({ greedy: true }).next(Float32Array.of(Number.NaN, 1))).toThrow(/not numbers/);
  });
});

describe('stop strings', () => {
  /** The text before the stop string that is complete first, and of those that end there the longest. */
  function expected(text: string, stops: readonly string[]): string {
    for (let end = 1; end <= text.length; end++) {
      const lengths = stops.filter((stop) => text.slice(0, end).endsWith(stop)).map((stop) => stop.length);
      if (lengths.length > 0) return text.slice(0, end - Math.max(...lengths));
    }
    return text;
  }

  it('end the text at the same place however it comes in pieces', () => {
    const letters = (most: number) =>
      fc.string({ unit: fc.constantFrom('a', 'b', '밧', '🪢'), maxLength: most });
    fc.assert(
      fc.property(
        fc.array(letters(5), { maxLength: 12 }),
        fc.array(letters(5).filter(Boolean), { maxLength: 4 }),
        (pieces, stops) => {
          const stream = new StopStrings(stops);
          const shown = pieces.map((piece) => stream.push(piece)).join('') + stream.flush();
          const text = pieces.join('');
          expect(shown).toBe(expected(text, stops));
          expect(stream.stopped).toBe(stops.some((stop) => text.includes(stop)));
        },
      ),
      { seed: 1, numRuns: 3000 },
    );
  });

  it('hold back no more than could become one', () => {
    const stream = new StopStrings(['END']);
    expect(stream.push('the E')).toBe('the ');
    expect(stream.push('x')).toBe('Ex');
    expect(stream.push('EN')).toBe('');
    expect(stream.push('EN')).toBe('EN');
    expect(stream.push('D and more')).toBe('');
    expect(stream.stopped).toBe(true);
    expect(stream.flush()).toBe('');
  });

  it('are not empty', () => {
    expect(() => new StopStrings(['a', ''])).toThrow(/a stop string is empty/);
  });
});

describe('sampling', () => {
  interface Case {
    options: SamplingOptions;
    seen: number[];
    logits: number[];
    probabilities: number[];
  }
  const { cases } = JSON.parse(
    readFileSync(new URL('./reference/sampling.json', import.meta.url), 'utf8'),
  ) as { cases: Case[] };

  /** Probability of each id. */
  function probabilitiesOf(logits: Float32Array, options: SamplingOptions): Float64Array {
    const { ids, probabilities } = distribution(logits, options);
    const all = new Float64Array(logits.length);
    probabilities.forEach((probability, i) => {
      all[ids[i]!] = probability;
    });
    return all;
  }

  it.each(cases)('leaves what transformers leaves: $options', ({ options, seen, logits, probabilities }) => {
    const sampler = new Sampler(options);
    sampler.observe(seen);
    const processed = Float32Array.from(logits);
    const id = sampler.next(processed); // applies the repetition penalty in place
    expect(probabilities[id]).toBeGreaterThan(0);
    const actual = probabilitiesOf(processed, options);
    for (const [i, wanted] of probabilities.entries()) {
      expect(actual[i]).toBeCloseTo(wanted, 5);
      expect(actual[i]! > 0, `id ${i}`).toBe(wanted > 0);
    }
  });

  /** The same by the definitions, step by step: temperature, top-k, top-p, min-p. */
  function byDefinition(logits: readonly number[], options: SamplingOptions): number[] {
    const softmax = (scores: readonly number[]) => {
      const max = Math.max(...scores);
      const powers = scores.map((score) => Math.exp(score - max));
      const sum = powers.reduce((a, b) => a + b, 0);
      return powers.map((power) => power / sum);
    };
    const drop = (scores: readonly number[], keeps: (i: number) => boolean) =>
      scores.map((score, i) => (keeps(i) ? score : Number.NEGATIVE_INFINITY));
    let scores = logits.map((logit) => logit / (options.temperature ?? 1));
    if (options.topK !== undefined) {
      const { topK } = options;
      // The number of tokens that are likelier, or as likely and earlier.
      const rank = (i: number) =>
        scores.filter((score, j) => score > scores[i]! || (score === scores[i] && j < i)).length;
      scores = drop(scores, (i) => rank(i) < topK);
    }
    if (options.topP !== undefined) {
      const { topP } = options;
      const probabilities = softmax(scores);
      const likelier = (i: number) =>
        probabilities.reduce((sum, p, j) => (scores[j]! > scores[i]! ? sum + p : sum), 0);
      scores = drop(scores, (i) => likelier(i) < topP);
    }
    if (options.minP !== undefined) {
      const { minP } = options;
      const probabilities = softmax(scores);
      const most = Math.max(...probabilities);
      scores = drop(scores, (i) => probabilities[i]! >= minP * most);
    }
    return softmax(scores);
  }

  it('leaves what the definitions leave', () => {
    const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
    const share = fc.integer({ min: 1, max: 999 }).map((n) => n / 1000 + 1e-7);
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: -400, max: 400 }), { minLength: 1, maxLength: 30 }),
        fc.record({
          temperature: optional(fc.constantFrom(0.3, 0.9, 1, 2.5)),
          topK: optional(fc.integer({ min: 1, max: 40 })),
          topP: optional(share),
          minP: optional(share),
        }),
        (hundredths, options) => {
          const logits = Float32Array.from(hundredths, (n) => n / 64);
          const given = Object.fromEntries(
            Object.entries(options).filter(([, value]) => value !== undefined),
          );
          const actual = probabilitiesOf(logits, given);
          const wanted = byDefinition(Array.from(logits), given);
          for (const [i, probability] of wanted.entries()) {
            expect(Math.abs(actual[i]! - probability)).toBeLessThan(1e-9);
          }
        },
      ),
      { seed: 3, numRuns: 2000 },
    );
  });

  it('keeps exactly k of tokens that are equally likely, the first ones', () => {
    expect(Array.from(probabilitiesOf(Float32Array.of(1, 2, 2, 2), { topK: 2 }))).toEqual([0, 0.5, 0.5, 0]);
  });

  it.each<SamplingOptions>([{}, { topK: 4 }, { topP: 0.8 }, { minP: 0.1, temperature: 1.3 }])(
    'draws as often as is likely: %o',
    (options) => {
      const logits = Float32Array.of(0.3, -1, 2, 1.1, 0, 1.7);
      const wanted = byDefinition(Array.from(logits), options);
      const sampler = new Sampler({ ...options, seed: 17 });
      const draws = 30_000;
      const counts = new Array<number>(6).fill(0);
      for (let i = 0; i < draws; i++) counts[sampler.next(logits)]!++;
      const possible = wanted.flatMap((p, i) => (p > 0 ? [{ p, count: counts[i]! }] : []));
      expect(possible.reduce((sum, { count }) => sum + count, 0)).toBe(draws);
      const chiSquare = possible.reduce(
        (sum, { p, count }) => sum + (count - draws * p) ** 2 / (draws * p),
        0,
      );
      // The 99.9 % quantile of chi-square with 1 … 5 degrees of freedom.
      expect(chiSquare).toBeLessThan([0, 10.83, 13.82, 16.27, 18.47, 20.52][possible.length - 1]!);
    },
  );

  it('counts what was drawn among what has occurred', () => {
    const sampler = new Sampler({ greedy: true, repetitionPenalty: 3 });
    const drawn = Array.from({ length: 4 }, () => sampler.next(Float32Array.of(4, 3, 2, -1)));
    expect(drawn).toEqual([0, 1, 2, 0]); // 4 → 4/3, 3 → 1, 2 → 2/3: the fourth time the first is likeliest again
  });

  it.each<[SamplingOptions, RegExp]>([
    [{ temperature: 0 }, /temperature must be above 0 \(use greedy for none\), but is 0/],
    [{ topK: 0 }, /top-k/],
    [{ topK: 1.5 }, /top-k/],
    [{ topP: 0 }, /top-p/],
    [{ minP: 1.1 }, /min-p/],
    [{ repetitionPenalty: -1 }, /repetition penalty/],
  ])('refuses %o', (options, message) => {
    expect(() => new Sampler(options)).toThrow(message);
  });
});
