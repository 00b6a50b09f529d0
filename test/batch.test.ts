import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GenerationBatch, generateBatch } from '../src/generation/batch.ts';
import { Decoder } from '../src/generation/decoder.ts';
import { generateTokens, prefill } from '../src/generation/generate.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { relativeError } from './helpers/numbers.ts';
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

/** The same configurations, with heads that the engine's kernel takes. */
function withFusedHeads(raw: Record<string, unknown>): Record<string, unknown> {
  if ('n_embd' in raw) return { ...raw, n_embd: (raw.n_head as number) * 8 };
  return { ...raw, head_dim: (raw.head_dim as number) > 8 ? 16 : 8 };
}

describe.skipIf(!engine.sharesBuffers)('decoding several sequences together', () => {
  it.each(Object.keys(configurations))(
    'gives the logits that each sequence has alone, whoever joins and leaves: %s',
    async (family) => {
      await fc.assert(
        fc.asyncProperty(
          configurations[family]!.map(withFusedHeads),
          fc.integer({ min: 1, max: 4 }),
          fc.integer({ min: 0, max: 1000 }),
          async (raw, most, seed) => {
            const model = build(raw);
            const { vocab_size: vocab } = model.config;
            const decoder = await Decoder.create(engine, model, randomWeights(model, seed));
            const random = new Random(seed);
            const batch = decoder.newBatchCache(most);
            const alone: ReturnType<Decoder['newCache']>[] = [];
            for (let step = 0; step < 60; step++) {
              if (batch.count < most && random.nextInt(4) === 0) {
                const cache = decoder.newCache();
                const prompt = randomIds(1 + random.nextInt(90), vocab, seed + step);
                await prefill(decoder, cache, prompt, 1 + random.nextInt(40));
                expect(batch.join(cache)).toBe(alone.push(cache) - 1);
              }
              if (batch.count === 0) continue;
              const ids = randomIds(batch.count, vocab, seed + 100 + step);
              const together = await decoder.forwardBatch(ids, batch);
              for (const [i, cache] of alone.entries()) {
                const wanted = await decoder.forward([ids[i]!], cache);
                const actual = together.subarray(i * vocab, (i + 1) * vocab);
                expect(relativeError(actual, wanted)).toBeLessThanOrEqual(1e-5);
                expect(batch.positions[i]).toBe(cache.position);
              }
              if (random.nextInt(8) === 0) {
                const index = random.nextInt(batch.count);
                batch.leave(index);
                const moved = alone.pop()!;
                if (index < alone.length) alone[index] = moved;
              }
            }
            await decoder.release();
          },
        ),
        { seed: 8, numRuns: 10 },
      );
    },
  );

  const llama = (positions = POSITIONS, headDim = 8) =>
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
      head_dim: headDim,
      rope_theta: 10000,
    });
  const prompts = [3, 40, 1, 17, 8, 90].map((length, i) => randomIds(length, 50, i));
  const options = prompts.map((_, i) => ({
    maxTokens: [20, 5, 33, 0, 1, 60][i]!,
    seed: i,
    ...(i % 2 === 1 ? { greedy: true } : { topK: 20, repetitionPenalty: 1.2, stopTokens: [7, 8, 9] }),
  }));

  async function together(decoder: Decoder, sequences: number) {
    const ids: number[][] = prompts.map(() => []);
    for await (const token of generateBatch(decoder, prompts, options, { sequences })) {
      ids[token.sequence]!.push(token.id);
    }
    return ids;
  }

  it.each([
    [1, 8],
    [2, 8],
    [8, 8],
    [3, 16],
    // These heads cannot run together: one after another.
    [2, 6],
  ])(
    'gives the tokens that each sequence has alone: %d at a time, with heads of %d',
    async (sequences, headDim) => {
      const model = llama(POSITIONS, headDim);
      const decoder = await Decoder.create(engine, model, randomWeights(model, 1));
      expect(decoder.runsBatches).toBe(headDim % 8 === 0);
      const wanted: number[][] = [];
      for (const [i, prompt] of prompts.entries()) {
        wanted.push(await collect(generateTokens(decoder, prompt, options[i]!)));
      }
      expect(await together(decoder, sequences)).toEqual(wanted);
      await decoder.release();
    },
  );

  it('falls back to one after another through the binding of the engine', async () => {
    const model = llama();
    const binding = nodeEngine({ threads: 1 }, { binding: true });
    const decoder = await Decoder.create(binding, model, randomWeights(model, 1));
    const other = await Decoder.create(engine, model, randomWeights(model, 1));
    expect(decoder.runsBatches).toBe(false);
    expect(await together(decoder, 4)).toEqual(await together(other, 4));
    await expect(decoder.forwardBatch([1], decoder.newBatchCache(1))).rejects.toThrow(
      /several sequences at once are not supported/,
    );
    expect(() => new GenerationBatch(decoder)).toThrow(/cannot run several sequences at once/);
    await Promise.all([decoder.release(), other.release()]);
  });

  it('reuses the room of sequences that have left', async () => {
    const model = llama(4000);
    const decoder = await Decoder.create(engine, model, randomWeights(model, 1));
    const cache = decoder.newBatchCache(2);
    for (let round = 0; round < 20; round++) {
      const prompt = decoder.newCache();
      await prefill(decoder, prompt, randomIds(100, 50, round));
      if (cache.count === 2) cache.leave(round % 2);
      cache.join(prompt);
    }
    // Two layers of keys and values, two sequences, one head of 8, 128 rows of float32.
    expect(cache.bytes).toBe(2 * 2 * 2 * 8 * 128 * 4);
    await decoder.release();
  });

  it('lets sequences end early and others join', async () => {
    const model = llama();
    const decoder = await Decoder.create(engine, model, randomWeights(model, 1));
    const wanted = await collect(generateTokens(decoder, [5, 6], { maxTokens: 30, greedy: true }));
    const batch = new GenerationBatch(decoder, { sequences: 2 });
    const first = batch.add([5, 6], { maxTokens: 30, greedy: true });
    const second = batch.add([9], { maxTokens: 100, greedy: true });
    const waiting = batch.add([1], { maxTokens: 100, greedy: true });
    const ids = new Map([first, second, waiting].map((sequence): [number, number[]] => [sequence, []]));
    const take = async () => {
      for (const { sequence, id } of await batch.step()) ids.get(sequence)!.push(id);
    };
    for (let i = 0; i < 9; i++) await take();
    batch.end(second);
    batch.end(waiting);
    const after = batch.add([5, 6], { maxTokens: 30, greedy: true });
    ids.set(after, []);
    while (batch.busy) await take();
    expect(ids.get(first)).toEqual(wanted);
    expect(ids.get(after)).toEqual(wanted);
    expect(ids.get(second)).toHaveLength(8);
    expect(ids.get(waiting)).toEqual([]);
    expect(await batch.step()).toEqual([]);
    await decoder.release();
  });

  it('stops when one of them is told to, and refuses what does not fit', async () => {
    const model = llama();
    const decoder = await Decoder.create(engine, model, randomWeights(model, 1));
    const controller = new AbortController();
    let count = 0;
    const run = async () => {
      const settings = [{ maxTokens: 50 }, { maxTokens: 50, signal: controller.signal }];
      for await (const _ of generateBatch(decoder, [[1], [2]], settings)) {
        if (++count === 7) controller.abort(new Error('enough'));
      }
    };
    await expect(run()).rejects.toThrow('enough');
    expect(count).toBeLessThan(10);
    const bad = (ids: readonly number[][], settings: { maxTokens: number } | { maxTokens: number }[]) =>
      collect(generateBatch(decoder, ids, settings));
    await expect(bad([[1], [2]], [{ maxTokens: 1 }])).rejects.toThrow(/2 prompts, but options for 1/);
    await expect(bad([[1], []], { maxTokens: 1 })).rejects.toThrow(/prompt is empty/);
    await expect(bad([[1]], { maxTokens: POSITIONS })).rejects.toThrow(/do not fit/);
    expect(() => decoder.newBatchCache(0)).toThrow(/at least 1/);
    await expect(decoder.forwardBatch([1, 2], decoder.newBatchCache(2))).rejects.toThrow(/0 sequences/);
    await decoder.release();
  });
});
