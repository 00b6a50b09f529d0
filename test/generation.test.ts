import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Decoder } from '../src/generation/decoder.ts';
import { generateTokens, prefill } from '../src/generation/generate.ts';
import { generateText } from '../src/generation/generate-text.ts';
import { argmax, Sampler } from '../src/generation/sampler.ts';
import { StopStrings } from '../src/generation/stop-strings.ts';
import { bpeTokenizerConfig, trainBpe } from '../src/tokenizer/bpe-trainer.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import {
  build,
  collect,
  common,
  engine,
  POSITIONS,
  randomIds,
  randomWeights,
} from './helpers/random-models.node.ts';

describe('generating tokens', () => {
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

  const prompt = [5, 9, 200];
  const tokens = (options: Omit<Parameters<typeof generateTokens>[2], 'maxTokens'>, maxTokens = 30) =>
    collect(generateTokens(decoder, prompt, { maxTokens, ...options }));

  it('is deterministic when greedy, and takes the likeliest token each time', async () => {
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

  it('gives equal texts for equal seeds, and different ones for different seeds', async () => {
    const [a, b, c] = [await tokens({ seed: 1 }), await tokens({ seed: 1 }), await tokens({ seed: 2 })];
    expect(b).toEqual(a);
    expect(c).not.toEqual(a);
  });

  it('ends at the first of several stop tokens', async () => {
    const free = await tokens({ seed: 4 });
    const [first, second] = [free[6]!, free[11]!];
    const end = Math.min(free.indexOf(first), free.indexOf(second));
    expect(await tokens({ seed: 4, stopTokens: [second, first] })).toEqual(free.slice(0, end + 1));
  });

  it('gives as many tokens as requested, and none for zero', async () => {
    expect(await tokens({ seed: 1 }, 0)).toEqual([]);
    expect(await tokens({ seed: 1 }, 1)).toHaveLength(1);
    expect(await tokens({ seed: 1 }, POSITIONS - prompt.length)).toHaveLength(POSITIONS - prompt.length);
    await expect(tokens({ seed: 1 }, POSITIONS - prompt.length + 1)).rejects.toThrow(
      /3 prompt tokens and 158 new ones do not fit into the model's 160 positions/,
    );
    await expect(tokens({}, -1)).rejects.toThrow(/whole number of at least 0/);
  });

  it('stops between two tokens when it is aborted', async () => {
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

  it('stops between the chunks of a long prompt when it is aborted', async () => {
    const controller = new AbortController();
    const cache = decoder.newCache();
    const ids = randomIds(150, vocab, 8);
    let chunks = 0;
    const stopped: Pick<Decoder, 'model' | 'forward'> = {
      model: decoder.model,
      forward: (...args) => {
        if (++chunks === 7) controller.abort();
        return decoder.forward(...args);
      },
    };
    const running = prefill(stopped as Decoder, cache, ids, 1, controller.signal);
    await expect(running).rejects.toThrow(/abort/);
    expect([chunks, cache.position]).toEqual([7, 7]);
  });

  it('ends before a stop string, wherever the tokens break', async () => {
    const options = { maxTokens: 60, seed: 9 };
    const pieces = await collect(generateText(decoder, tokenizer, 'the', options));
    const free = pieces.join('');
    for (let at = 3; at + 4 < free.length; at += 7) {
      const stop = free.slice(at, at + 1 + (at % 4));
      const stopped = await collect(generateText(decoder, tokenizer, 'the', { ...options, stop: [stop] }));
      expect(stopped.join('')).toBe(free.slice(0, free.indexOf(stop)));
    }
  });

  it('refuses logits that are NaN instead of writing nonsense', () => {
    const logits = Float32Array.of(1, Number.NaN, 2);
    expect(() => new Sampler().next(logits)).toThrow(/logits that are NaN/);
    expect(() => new Sampler({ greedy: true }).next(Float32Array.of(Number.NaN, 1))).toThrow(
      /logits that are NaN/,
    );
  });
});

describe('a stop string', () => {
  /** The text before the stop string that is complete first, and of those that end there the longest. */
  function expected(text: string, stops: readonly string[]): string {
    for (let end = 1; end <= text.length; end++) {
      const lengths = stops.filter((stop) => text.slice(0, end).endsWith(stop)).map((stop) => stop.length);
      if (lengths.length > 0) return text.slice(0, end - Math.max(...lengths));
    }
    return text;
  }

  it('ends the text at the same place however the text arrives in pieces', () => {
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

  it('holds back no more text than could become one', () => {
    const stream = new StopStrings(['END']);
    expect(stream.push('the E')).toBe('the ');
    expect(stream.push('x')).toBe('Ex');
    expect(stream.push('EN')).toBe('');
    expect(stream.push('EN')).toBe('EN');
    expect(stream.push('D and more')).toBe('');
    expect(stream.stopped).toBe(true);
    expect(stream.flush()).toBe('');
  });

  it('must not be empty', () => {
    expect(() => new StopStrings(['a', ''])).toThrow(/a stop string is empty/);
  });
});
