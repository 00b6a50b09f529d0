import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { Tokenizer as NativeTokenizer } from 'tokenizers';
import { describe, expect, it } from 'vitest';
import { cpuSeconds } from '../../test/helpers/work.node.ts';
import { mobyDick } from '../text/moby-dick.node.ts';
import { type BpeMerge, bpeTokenizerConfig, trainBpe, trainBpeAsync } from './bpe-trainer.ts';
import { BYTE_TO_CHAR } from './byte-alphabet.ts';
import { Tokenizer } from './tokenizer.ts';

const TEXTS = [
  'Once upon a time, there was a time.\n\n  Leading spaces, tabs\t\tand   runs.  \r\nEnd',
  "It's what we'll do; they've done: don't! 1234567 12 3 3.14",
  '옛날 옛적에 한 나무꾼이 살았어요. 나무꾼은 나무를 했어요.\n옛날이야기 🙂🙂👩‍👩‍👧',
  'aaaaaaaa aaaa aaa abababab banana bandana\u0085\ufeffx\u00a0y\u2003z  ',
];
const FIXTURE = new URL('../../test/reference/bpe-merges.json', import.meta.url);

/** All merges by definition: count every pair anew at each step. Independent of the trainer's bookkeeping. */
function naiveMerges(
  words: Map<string, number>,
  steps: number,
): { merges: string[][]; frequencies: number[] } {
  let segmented = [...words].map(([word, count]) => ({
    pieces: Array.from(new TextEncoder().encode(word), (byte) => BYTE_TO_CHAR[byte]!),
    count,
  }));
  const rank = new Map(
    ['<|endoftext|>', ...[...BYTE_TO_CHAR].sort()].map((token, id) => [token, id] as const),
  );
  const merges: string[][] = [];
  const frequencies: number[] = [];
  while (merges.length < steps) {
    const counts = new Map<string, number>();
    for (const { pieces, count } of segmented) {
      for (let i = 1; i < pieces.length; i++) {
        const key = `${pieces[i - 1]} ${pieces[i]}`;
        counts.set(key, (counts.get(key) ?? 0) + count);
      }
    }
    const order = ([key]: [string, number]) => key.split(' ').map((token) => rank.get(token)!);
    const [best] = [...counts].sort((a, b) => {
      const [[al, ar], [bl, br]] = [order(a), order(b)] as [[number, number], [number, number]];
      return b[1] - a[1] || al - bl || ar - br;
    });
    if (!best || best[1] < 2) break;
    const [left, right] = best[0].split(' ') as [string, string];
    merges.push([left, right]);
    frequencies.push(best[1]);
    if (!rank.has(left + right)) rank.set(left + right, rank.size);
    segmented = segmented.map(({ pieces, count }) => {
      const joined: string[] = [];
      for (let i = 0; i < pieces.length; i++) {
        if (pieces[i] === left && pieces[i + 1] === right) {
          joined.push(left + right);
          i++;
        } else joined.push(pieces[i]!);
      }
      return { pieces: joined, count };
    });
  }
  return { merges, frequencies };
}

/** Words by GPT-2's pattern, written independently of the trainer's derivation of it. */
function words(texts: readonly string[]): Map<string, number> {
  const space = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
  const pattern = new RegExp(
    `'(?:[stmd]|re|ve|ll)| ?\\p{L}+| ?\\p{N}+| ?[^${space}\\p{L}\\p{N}]+|[${space}]+(?![^${space}])|[${space}]+`,
    'gu',
  );
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const word of text.match(pattern) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

describe('trainBpe', () => {
  it('learns the merges that the definition gives, with their frequencies', () => {
    const learned: BpeMerge[] = [];
    const json = trainBpe(TEXTS, { vocabSize: 10_000, onProgress: (merge) => learned.push(merge) });
    const expected = naiveMerges(words(TEXTS), 10_000);
    expect(json.model.merges).toEqual(expected.merges);
    expect(learned.map((merge) => merge.frequency)).toEqual(expected.frequencies);
    expect(learned.length).toBeGreaterThan(30);
  });

  it('learns the same on random texts over few letters, full of ties and overlaps', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' '), maxLength: 120 });
    fc.assert(
      fc.property(fc.array(text, { maxLength: 3 }), (texts) => {
        const json = trainBpe(texts, { vocabSize: 290 });
        const expected = naiveMerges(words(texts), 10_000).merges;
        const merges = json.model.merges as string[][];
        expect(merges).toEqual(expected.slice(0, merges.length));
        const size = Object.keys(json.model.vocab as object).length;
        if (size < 290) expect(merges.length).toBe(expected.length);
      }),
      { numRuns: 100 },
    );
  });

  it('learns the merges that Hugging Face learns', () => {
    const fixture = JSON.parse(readFileSync(FIXTURE, 'utf8')) as {
      texts: string[];
      vocabSize: number;
      merges: string[][];
      probes: { text: string; ids: number[] }[];
    };
    const json = trainBpe(fixture.texts, { vocabSize: fixture.vocabSize });
    expect(json.model.merges).toEqual(fixture.merges);
    const tokenizer = Tokenizer.fromJSON(json);
    for (const { text, ids } of fixture.probes) expect(tokenizer.encode(text)).toEqual(ids);
  });

  it('writes a tokenizer.json that the native library loads with the same ids', async () => {
    const json = trainBpe(TEXTS, { vocabSize: 340 });
    const ours = Tokenizer.fromJSON(json);
    const native = NativeTokenizer.fromString(JSON.stringify(json));
    const unit = fc.oneof(
      fc.constantFrom(...' \n\t\r\u0085\ufeff\u3000', '나무', '🙂', "'s", "'S", '<|endoftext|>', 'ſ', '12'),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 4 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(unit, { maxLength: 12 }), async (units) => {
        const text = units.join('');
        const ids = ours.encode(text);
        expect(ids).toEqual([...(await native.encode(text)).getIds()]);
        expect(ours.decode(ids)).toBe(text);
        expect(await native.decode(ids, false)).toBe(text);
      }),
      { numRuns: 300, examples: [[TEXTS]] },
    );
  });

  it('gives special tokens the first ids and cuts them out of the texts', () => {
    const texts = ['one<|endoftext|>one<|end|>one one'];
    const json = trainBpe(texts, { vocabSize: 300, specialTokens: ['<|endoftext|>', '<|end|>'] });
    const tokenizer = Tokenizer.fromJSON(json, bpeTokenizerConfig(json, { modelMaxLength: 64 }));
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.tokenToId('<|end|>')]).toEqual([0, 0, 1]);
    expect(JSON.stringify(json.model.merges)).not.toMatch(/<|\|/);
    expect(tokenizer.encode('one<|end|>')).toEqual([tokenizer.tokenToId('one'), 1]);
    expect(tokenizer.decode([0, 1, 2], { skipSpecialTokens: true })).toBe('!');
  });

  it('stops at minFrequency and is deterministic', () => {
    const frequencies: number[] = [];
    const options = { vocabSize: 5000, minFrequency: 4 };
    const json = trainBpe(TEXTS, { ...options, onProgress: (merge) => frequencies.push(merge.frequency) });
    expect(Math.min(...frequencies)).toBeGreaterThanOrEqual(4);
    expect(JSON.stringify(trainBpe(TEXTS, options))).toBe(JSON.stringify(json));
  });

  it('gives the same result with pauses, and stops when its signal is aborted', async () => {
    const options = { vocabSize: 340 };
    expect(await trainBpeAsync(TEXTS, options)).toEqual(trainBpe(TEXTS, options));
    const controller = new AbortController();
    let merges = 0;
    const onProgress = () => {
      if (++merges === 3) controller.abort(new Error('enough'));
    };
    const aborted = trainBpeAsync(TEXTS, { ...options, onProgress, signal: controller.signal });
    await expect(aborted).rejects.toThrow('enough');
    expect(merges).toBe(3);
  });

  it('refuses a vocabulary that is too small for the bytes', () => {
    expect(() => trainBpe(['a'], { vocabSize: 256 })).toThrow(/vocabSize is 256.*at least 257/);
    expect(() => trainBpe(['a'], { vocabSize: 300, specialTokens: ['a'] })).toThrow(/specialTokens/);
    expect(() => trainBpe(['a'], { vocabSize: 300, minFrequency: 0 })).toThrow(/minFrequency is 0/);
  });

  it('trains on a whole novel in seconds', async () => {
    const text = await mobyDick();
    let size = 0;
    const seconds = cpuSeconds(() => {
      const json = trainBpe([text], { vocabSize: 2048 });
      size = Object.keys(json.model.vocab as object).length;
    });
    expect(size).toBe(2048);
    // About one second.
    expect(seconds).toBeLessThan(10);
  });
});
