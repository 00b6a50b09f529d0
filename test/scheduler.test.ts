import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PrefixCache } from '../src/generation/cache/prefix-cache.ts';
import { Scheduler } from '../src/generation/completion/scheduler.ts';
import type { ScoredToken } from '../src/generation/completion/token-scores.ts';
import { Decoder } from '../src/generation/decoder.ts';
import { generateTokens } from '../src/generation/generate.ts';
import { fullLogits } from '../src/generation/score.ts';
import { quantizeMatrix } from '../src/onnx/quantize.ts';
import { quantizedSource } from '../src/onnx/weights.ts';
import { Random } from '../src/random.ts';
import { build, collect, common, engine, randomIds, randomWeights } from './helpers/random-models.node.ts';

/** Sequences that come and go in one run have the tokens that each has alone. */

const VOCAB = 60;
const MODELS = {
  llama: {
    ...{ model_type: 'llama', ...common, max_position_embeddings: 700, vocab_size: VOCAB },
    ...{ hidden_size: 32, intermediate_size: 32, num_hidden_layers: 2 },
    ...{ num_attention_heads: 2, num_key_value_heads: 1, head_dim: 16, rope_theta: 10000 },
  },
  // A sliding window, in every second layer.
  gemma2: {
    ...{ model_type: 'gemma2', ...common, max_position_embeddings: 700, vocab_size: VOCAB },
    ...{ hidden_size: 32, intermediate_size: 32, num_hidden_layers: 2 },
    ...{ num_attention_heads: 2, num_key_value_heads: 1, head_dim: 16, rope_theta: 10000 },
    ...{
      sliding_window: 20,
      attn_logit_softcapping: 50,
      final_logit_softcapping: 30,
      query_pre_attn_scalar: 16,
    },
  },
};
type Name = keyof typeof MODELS;

async function decoderOf(name: Name, form?: { bits: 4 | 8; exact: boolean }): Promise<Decoder> {
  const model = build(MODELS[name]);
  const weights = randomWeights(model, 3);
  if (!form) return Decoder.create(engine, model, weights);
  const quantized = [...weights].map(([path, source]) => {
    const [rows, columns] = model.parameters().get(path)!.shape as number[];
    if (columns === undefined || /embed_tokens|lm_head/.test(path)) return [path, source] as const;
    const { data } = source as { data: Float32Array };
    const matrix = quantizeMatrix(data, rows!, columns, { bits: form.bits, block: 32 });
    return [path, { quantized: { ...quantizedSource(matrix), exact: form.exact } }] as const;
  });
  return Decoder.create(engine, model, new Map(quantized));
}

interface Asked {
  readonly prompt: readonly number[];
  readonly options: Parameters<typeof generateTokens>[2];
  /** Tokens of all sequences before it comes in. */
  readonly after: number;
  /** Tokens of its own after which its reader leaves. */
  readonly leaves?: number | undefined;
}

/** Runs all of them, and returns the tokens of each. */
async function together(decoder: Decoder, asked: readonly Asked[], sequences: number, known?: PrefixCache) {
  const scheduler = new Scheduler(decoder, { sequences, prefixCache: known });
  const ids: number[][] = asked.map(() => []);
  const most = { running: 0 };
  let count = 0;
  const waiting = [...asked.entries()];
  const ends: Promise<void>[] = [];
  const comeIn = () => {
    while (waiting.length > 0 && waiting[0]![1].after <= count) {
      const [index, { prompt, options, leaves }] = waiting.shift()!;
      const controller = new AbortController();
      ends.push(
        new Promise((resolve, reject) => {
          const sink = {
            prompt() {},
            token(id: number) {
              ids[index]!.push(id);
              count++;
              most.running = Math.max(most.running, scheduler.load.running);
              if (ids[index]!.length === leaves) controller.abort(new Error('left'));
              comeIn();
              return true;
            },
            end: resolve,
            fail: (error: unknown) => (controller.signal.aborted ? resolve() : reject(error)),
          };
          const client = String(index % 3);
          scheduler.add({ prompt, options, sink, client, signal: controller.signal });
        }),
      );
    }
  };
  comeIn();
  await scheduler.idle();
  // Those that wait for more tokens than came.
  count = Number.POSITIVE_INFINITY;
  comeIn();
  await scheduler.idle();
  await Promise.all(ends);
  expect(scheduler.load).toEqual({ waiting: 0, running: 0 });
  expect(most.running).toBeLessThanOrEqual(sequences);
  return ids;
}

const settings = fc.record(
  {
    seed: fc.nat(1000),
    temperature: fc.constantFrom(0, 0.7, 1, 1.5),
    topK: fc.integer({ min: 1, max: VOCAB }),
    topP: fc.constantFrom(0.5, 0.9),
    repetitionPenalty: fc.constantFrom(1, 1.3),
    frequencyPenalty: fc.constantFrom(0, 1.5),
    presencePenalty: fc.constantFrom(0, -1),
    stopTokens: fc.array(fc.nat(VOCAB - 1), { maxLength: 2 }),
  },
  { requiredKeys: ['seed'] },
);

const asked = fc.array(
  fc.record({
    prompt: fc
      .tuple(fc.nat(1), fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(64, 65, 256, 257, 400)))
      // Beginnings of one of two texts: some are the beginnings of others.
      .map(([text, length]) => [...randomIds(length, VOCAB, text)]),
    options: fc
      .tuple(settings, fc.integer({ min: 0, max: 30 }))
      .map(([given, maxTokens]) => ({ ...given, maxTokens })),
    after: fc.nat(60),
    leaves: fc.option(fc.integer({ min: 1, max: 10 }), { nil: undefined, freq: 5 }),
  }),
  { minLength: 1, maxLength: 9 },
);

const MODES: [string, Name, { bits: 4 | 8; exact: boolean } | undefined][] = [
  ['float32', 'llama', undefined],
  ['float32 with a sliding window', 'gemma2', undefined],
  ['4 bits with exact activations', 'llama', { bits: 4, exact: true }],
  ['8 bits with activations of 8 bits', 'llama', { bits: 8, exact: false }],
  ['4 bits with activations of 8 bits', 'llama', { bits: 4, exact: false }],
  ['activations of 8 bits with a sliding window', 'gemma2', { bits: 8, exact: false }],
];

describe.each(MODES)('the scheduler, %s,', (_, name, form) => {
  it('gives each sequence the tokens that it has alone, whoever joins and leaves', async () => {
    const decoder = await decoderOf(name, form);
    await fc.assert(
      fc.asyncProperty(
        asked.map((all) => all.toSorted((a, b) => a.after - b.after)),
        fc.integer({ min: 1, max: 5 }),
        fc.boolean(),
        async (all, sequences, keeps) => {
          const known = keeps && !decoder.roundsActivations ? new PrefixCache(decoder) : undefined;
          const actual = await together(decoder, all, sequences, known);
          for (const [i, { prompt, options, leaves }] of all.entries()) {
            const wanted = await collect(generateTokens(decoder, prompt, options));
            expect(actual[i]).toEqual(wanted.slice(0, leaves));
          }
        },
      ),
      { numRuns: 15 },
    );
    await decoder.release();
  });
});

describe('the scheduler', () => {
  it('says why sequences take turns', async () => {
    const rolling = await decoderOf('gemma2', { bits: 8, exact: false });
    expect(new Scheduler(rolling, { sequences: 3 }).batching).toMatchObject({
      ...{ sequences: 3, together: false },
      reason: expect.stringMatching(/sliding windows/),
    });
    await rolling.release();
  });

  it.runIf(engine.sharesBuffers)(
    'gives places to the client that has the fewest, and starves no client',
    async () => {
      const decoder = await decoderOf('llama');
      const scheduler = new Scheduler(decoder, { sequences: 2 });
      const ended: string[] = [];
      const add = (client: string, name: string) =>
        scheduler.add({
          ...{ prompt: [1, 2, 3], options: { maxTokens: 5, greedy: true }, client },
          sink: {
            prompt() {},
            token: () => true,
            end: () => ended.push(name),
            fail: () => ended.push('failed'),
          },
        });
      for (let i = 0; i < 6; i++) add('many', `many ${i}`);
      add('one', 'one');
      add('two', 'two');
      await scheduler.idle();
      expect(ended).toHaveLength(8);
      // Two clients with one request each do not wait for the six of another.
      expect(ended.slice(0, 4)).toContain('one');
      expect(ended.slice(0, 4)).toContain('two');
      await decoder.release();
    },
  );

  it.runIf(engine.sharesBuffers)(
    'lets other sequences advance between the chunks of a long prompt',
    async () => {
      const decoder = await decoderOf('llama');
      const scheduler = new Scheduler(decoder, { sequences: 2 });
      const seen: string[] = [];
      const sink = (name: string) => ({
        prompt: () => void seen.push(`${name} prompt`),
        token: () => seen.push(name) > 0,
        end() {},
        fail: (error: unknown) => seen.push(String(error)),
      });
      scheduler.add({ prompt: [1], options: { maxTokens: 20, greedy: true }, sink: sink('short') });
      scheduler.add({
        prompt: [...randomIds(600, VOCAB, 1)],
        options: { maxTokens: 1, greedy: true },
        sink: sink('long'),
      });
      await scheduler.idle();
      expect(
        seen.slice(0, seen.indexOf('long prompt')).filter((name) => name === 'short').length,
      ).toBeGreaterThan(5);
      await decoder.release();
    },
  );

  it('computes the common prefix of several prompts once', async () => {
    const decoder = await decoderOf('llama');
    const scheduler = new Scheduler(decoder, { sequences: 4, prefixCache: new PrefixCache(decoder) });
    const cached: number[] = [];
    const prompt = randomIds(300, VOCAB, 1);
    for (let i = 0; i < 4; i++) {
      scheduler.add({
        ...{ prompt: [...prompt.slice(0, 290), i], options: { maxTokens: 2, seed: i } },
        sink: {
          prompt: (count) => void cached.push(count),
          token: () => true,
          end() {},
          fail: (e) => expect(e).toBe(''),
        },
      });
    }
    await scheduler.idle();
    expect(cached).toEqual([0, 290, 290, 290]);
    await decoder.release();
  });

  it('ends only the sequence that fails', async () => {
    const decoder = await decoderOf('llama');
    const scheduler = new Scheduler(decoder, { sequences: 3 });
    const events: string[] = [];
    const add = (name: string, fails: boolean) =>
      scheduler.add({
        ...{ prompt: [1, 2], options: { maxTokens: 4, greedy: true } },
        sink: {
          prompt() {},
          token: () => {
            if (fails) throw new Error('no');
            return true;
          },
          end: () => void events.push(`${name} ended`),
          fail: (error) => void events.push(`${name}: ${(error as Error).message}`),
        },
      });
    add('a', false);
    add('b', true);
    add('c', false);
    await scheduler.idle();
    expect(events.sort()).toEqual(['a ended', 'b: no', 'c ended']);
    await decoder.release();
  });

  it('scores the tokens of a prompt as the whole model does', async () => {
    const model = build(MODELS.llama);
    const weights = randomWeights(model, 3);
    const decoder = await Decoder.create(engine, model, weights);
    const scheduler = new Scheduler(decoder);
    const prompt = [...randomIds(300, VOCAB, 5)];
    let scores: readonly ScoredToken[] = [];
    const after: ScoredToken[] = [];
    scheduler.add({
      ...{ prompt, scores: 3, scoresPrompt: true, options: { maxTokens: 1, seed: 1, temperature: 2 } },
      sink: {
        prompt(_, given) {
          scores = given;
        },
        token: (_, score) => after.push(score!) > 0,
        end() {},
        fail: (error) => expect(error).toBe(''),
      },
    });
    await scheduler.idle();
    expect(scores.map(({ id }) => id)).toEqual([...prompt].slice(1));
    for await (const { logits } of fullLogits(engine, model, weights, prompt)) {
      for (const [i, { id, logprob, top }] of [...scores, ...after].entries()) {
        const row = Array.from(logits.subarray(i * VOCAB, (i + 1) * VOCAB));
        const total = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
        expect(logprob).toBeCloseTo(row[id]! - total, 4);
        const best = row.map((logit, other) => ({ other, logit })).sort((a, b) => b.logit - a.logit);
        expect(top.map((likely) => likely.id)).toEqual(best.slice(0, 3).map(({ other }) => other));
      }
    }
    await decoder.release();
  });

  it('refuses a request that does not fit', async () => {
    const decoder = await decoderOf('llama');
    const scheduler = new Scheduler(decoder);
    const sink = { prompt() {}, token: () => true, end() {}, fail() {} };
    const add = (prompt: number[], options: object) => () =>
      scheduler.add({ prompt, options: { maxTokens: 1, ...options }, sink });
    expect(add([], {})).toThrow(/prompt is empty/);
    expect(add([1], { maxTokens: 700 })).toThrow(/do not fit/);
    expect(add([1], { frequencyPenalty: 3 })).toThrow(/frequency penalty must be from/);
    expect(add([1], { logitBias: { 3: 101 } })).toThrow(/logit bias of token 3/);
    expect(() => new Scheduler(decoder, { sequences: 0 })).toThrow(/at least 1/);
    await decoder.release();
  });
});

describe('penalties and biases of a request', () => {
  it('are applied by the formula of the API', async () => {
    const { Sampler } = await import('../src/generation/sampler.ts');
    const random = new Random(1);
    const base = Float32Array.from({ length: 5 }, () => random.next());
    const sampler = new Sampler({
      greedy: true,
      frequencyPenalty: 0.5,
      presencePenalty: 0.25,
      logitBias: { 4: 2 },
    });
    const counts = [0, 0, 0, 0, 0];
    for (let step = 0; step < 30; step++) {
      const wanted = [...base].map(
        (logit, id) => logit - counts[id]! * 0.5 - (counts[id]! > 0 ? 0.25 : 0) + (id === 4 ? 2 : 0),
      );
      const best = wanted.indexOf(Math.max(...wanted));
      expect(sampler.next(base.slice())).toBe(best);
      counts[best]!++;
    }
    expect(counts.every((count) => count > 0)).toBe(true);
  });
});
