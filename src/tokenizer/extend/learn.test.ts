import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { Tokenizer as RustTokenizer } from 'tokenizers';
import { describe, expect, it } from 'vitest';
import { trainBpe } from '../bpe-trainer.ts';
import { Tokenizer } from '../tokenizer.ts';
import type { TokenizerJson } from '../tokenizer-schema.ts';
import { extendedJson } from './extended-json.ts';
import { type LearnedTokens, type LearnOptions, learnTokens } from './learn.ts';

const ENGLISH = 'A ropewalk is a long straight lane; ropes were laid there, and the rope was long.\n'.repeat(
  30,
);
const KOREAN = [
  '옛날 옛적에 나무꾼이 살았습니다. 나무꾼은 나무를 하러 숲으로 갔습니다.\n',
  '숲에서 나무꾼은 사슴을 만났습니다. "나무꾼님, 살려 주세요!" 사슴이 말했습니다.\n',
  '나무꾼은 사슴을 나무 뒤에 숨겼습니다. 사슴은 고마워했습니다. 하늘에서 선녀가 내려왔습니다.\n',
]
  .join('')
  .repeat(3);

/** A byte-level model of English. */
function byteLevel(change: Partial<TokenizerJson['model']> = {}): TokenizerJson {
  const json = trainBpe([ENGLISH], { vocabSize: 330 });
  return { ...json, model: { ...json.model, ...change } };
}

/** A SentencePiece-style model with byte fallback: Llama 2's kind, of 512 tokens. */
const LLAMA_2 = JSON.parse(
  readFileSync(new URL('../../../test/fixtures/stories260K/tokenizer.json', import.meta.url), 'utf8'),
) as TokenizerJson;

/** As Llama 3 has it: a piece that is a token is that token, and added tokens follow the model's vocabulary. */
function llama3Style(): TokenizerJson {
  const json = byteLevel({ ignore_merges: true });
  const last = Object.keys(json.model.vocab as object).length;
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const more = ['<|start|>', '<|end|>'].map((content, i) => ({ id: last + i, content, ...flags }));
  return { ...json, added_tokens: [...json.added_tokens, ...more] };
}

async function extended(json: TokenizerJson, texts: string[], options: LearnOptions) {
  const before = Tokenizer.fromJSON(json);
  const learned = await learnTokens(before, texts, options);
  const after = extendedJson(before, learned);
  return { before, learned, json: after, after: Tokenizer.fromJSON(after) };
}

const plain = { addSpecialTokens: false };
const rust = (json: unknown) => RustTokenizer.fromString(JSON.stringify(json));
async function rustIds(tokenizer: RustTokenizer, text: string): Promise<number[]> {
  return (await tokenizer.encode(text, undefined, { addSpecialTokens: false })).getIds();
}

/** Writes new tokens as what stood in their place. */
function expand(ids: readonly number[], { tokens }: LearnedTokens): number[] {
  return ids.flatMap((id) => tokens.find((token) => token.id === id)?.pieces ?? [id]);
}

/** The merges by definition: every pair counted anew at each step, on words that the Rust library cut and wrote. */
async function definition(json: TokenizerJson, text: string, add: number): Promise<[string, string][]> {
  const words = new Map<string, number>();
  // The pattern of trainBpe, of which this text needs letters, punctuation and white space alone.
  for (const [word] of text.matchAll(/ ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu)) {
    words.set(word, (words.get(word) ?? 0) + 1);
  }
  const library = rust(json);
  const rank = new Map(Object.entries(json.model.vocab as Record<string, number>));
  let segmented = await Promise.all(
    [...words].map(async ([word, count]) => {
      const { getTokens } = await library
        .encode(word, undefined, { addSpecialTokens: false })
        .then((each) => ({
          getTokens: each.getTokens(),
        }));
      return { pieces: getTokens, count };
    }),
  );
  const merges: [string, string][] = [];
  while (merges.length < add) {
    const counts = new Map<string, number>();
    for (const { pieces, count } of segmented) {
      for (let i = 1; i < pieces.length; i++) {
        const key = `${pieces[i - 1]} ${pieces[i]}`;
        if (rank.has(key.replace(' ', ''))) continue;
        counts.set(key, (counts.get(key) ?? 0) + count);
      }
    }
    const ids = (key: string) => key.split(' ').map((token) => rank.get(token)!) as [number, number];
    const [best] = [...counts].sort(([a, m], [b, n]) => {
      const [[al, ar], [bl, br]] = [ids(a), ids(b)];
      return n - m || al - bl || ar - br;
    });
    const [left, right] = best![0].split(' ') as [string, string];
    merges.push([left, right]);
    rank.set(left + right, rank.size);
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
  return merges;
}

describe('learning tokens for a byte-level model', () => {
  it('continues byte-pair encoding from the pieces that the model writes', async () => {
    const json = byteLevel();
    const { learned } = await extended(json, [KOREAN], { add: 60 });
    expect(learned.merges).toEqual(await definition(json, KOREAN, 60));
  });

  it('gives new tokens the next ids, and every token of before keeps its id', async () => {
    const { before, json, after, learned } = await extended(byteLevel(), [KOREAN], { add: 40 });
    expect(learned.tokens.map(({ id }) => id)).toEqual(
      Array.from({ length: 40 }, (_, i) => before.vocabSize + i),
    );
    for (let id = 0; id < before.vocabSize; id++) expect(after.idToToken(id)).toBe(before.idToToken(id));
    expect(rust(json).getVocabSize()).toBe(after.vocabSize);
  });

  it('depends on the order neither of the texts nor of their lines', async () => {
    const { learned } = await extended(byteLevel(), [KOREAN], { add: 40 });
    const { learned: again } = await extended(byteLevel(), KOREAN.split(/(?<=\n)/).reverse(), { add: 40 });
    expect(again).toEqual(learned);
  });
});

describe.each([
  ['byte-level', byteLevel],
  ['SentencePiece-style, with byte fallback', () => LLAMA_2],
  ['as Llama 3 has it', llama3Style],
] as const)('an extended tokenizer that is %s', (_name, make) => {
  const texts = fc
    .array(
      fc.oneof(
        fc.constantFrom(...KOREAN.split(/(?<=[ \n])/), 'rope', ' long', '나무', '사슴', ' ', '\n', '<|end|>'),
        fc.string({ unit: 'grapheme', maxLength: 4 }),
      ),
      { maxLength: 12 },
    )
    .map((parts) => parts.join(''));

  it("has the Rust library's ids", async () => {
    const { json, after } = await extended(make(), [KOREAN], { add: 60 });
    const library = rust(json);
    expect(await rustIds(library, KOREAN)).toEqual(after.encode(KOREAN, plain));
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        expect(after.encode(text, plain)).toEqual(await rustIds(library, text));
        expect(after.decode(after.encode(text, plain))).toBe(
          Tokenizer.fromJSON(make()).decode(Tokenizer.fromJSON(make()).encode(text, plain)),
        );
      }),
      { numRuns: 40 },
    );
  });

  it('writes a text without new tokens in the ids of before, and others in tokens that stand for them', async () => {
    const { before, after, learned } = await extended(make(), [KOREAN], { add: 60 });
    expect(after.encode(ENGLISH, plain)).toEqual(before.encode(ENGLISH, plain));
    expect(after.encode(KOREAN, plain).length).toBeLessThan(0.7 * before.encode(KOREAN, plain).length);
    fc.assert(
      fc.property(texts, (text) => {
        const ids = before.encode(text, plain);
        expect(expand(after.encode(text, plain), learned)).toEqual(ids);
      }),
      { numRuns: 100 },
    );
  });

  it('leaves the ids of a text that must stay', async () => {
    const kept = '나무꾼은 사슴을 나무 뒤에 숨겼습니다.';
    const { after: changed, before } = await extended(make(), [KOREAN], { add: 60 });
    expect(changed.encode(kept, plain)).not.toEqual(before.encode(kept, plain));
    const { after } = await extended(make(), [KOREAN], { add: 20, keep: [kept] });
    expect(after.encode(kept, plain)).toEqual(before.encode(kept, plain));
  });
});

describe('a SentencePiece-style model', () => {
  it('gets tokens of single characters, and words that begin with their space and hold no other', async () => {
    const { after, learned, before } = await extended(LLAMA_2, [KOREAN], { add: 80 });
    expect(before.tokenToId('나')).toBeUndefined();
    expect(after.tokenToId('나')).toBeDefined();
    const spelled = learned.tokens.map(({ token }) => token);
    expect(spelled).toContain('▁나무꾼은');
    for (const token of spelled) expect(token).toMatch(/^(?:▁*\p{Script=Hangul}+|▁*[\p{P}]+|▁+)$/u);
    expect(after.encode('나', plain).length).toBeLessThan(before.encode('나', plain).length);
  });

  it('has every way to put a new token together as a merge, as llama.cpp joins them', async () => {
    const { json, learned } = await extended(LLAMA_2, [KOREAN], { add: 80 });
    const vocab = json.model.vocab as Record<string, number>;
    const merges = new Set((json.model.merges as string[][]).map((pair) => pair.join(' ')));
    for (const { token } of learned.tokens) {
      const characters = [...token];
      for (let cut = 1; cut < characters.length; cut++) {
        const [left, right] = [characters.slice(0, cut).join(''), characters.slice(cut).join('')];
        if (left in vocab && right in vocab && vocab[left]! < vocab[token]! && vocab[right]! < vocab[token]!)
          expect(merges).toContain(`${left} ${right}`);
      }
    }
  });
});

describe('tokens that a model cannot get', () => {
  const refusal = (json: TokenizerJson, texts: string[], options: LearnOptions = { add: 10 }) =>
    expect(extended(json, texts, options)).rejects;

  it('are refused with their number when the text offers fewer', async () => {
    await refusal(byteLevel(), ['나무 나무'], { add: 500 }).toThrow(
      /offers 5 new tokens.*not 500; add at most 5/,
    );
    await refusal(byteLevel(), ['x'], { add: 1 }).toThrow('the text offers no new token');
    await refusal(byteLevel(), [''], { add: 1 }).toThrow('the text has no words');
    await refusal(byteLevel(), [KOREAN], { add: 0 }).toThrow('must be a whole number from 1');
  });

  it('are refused for models that are not BPE, and for those whose tokens depend on their place', async () => {
    const unigram = { ...byteLevel(), model: { type: 'Unigram', vocab: [['a', -1]], unk_id: 0 } };
    await refusal(unigram, [KOREAN]).toThrow('its model is Unigram');
    const wordPiece = {
      ...byteLevel(),
      model: {
        type: 'WordPiece',
        vocab: { a: 0, '[UNK]': 1 },
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
      },
    };
    await refusal(wordPiece, [KOREAN]).toThrow('its model is WordPiece');
    await refusal(byteLevel({ end_of_word_suffix: '</w>' }), [KOREAN]).toThrow('"end_of_word_suffix"');
  });

  it('stop with the signal', async () => {
    await refusal(byteLevel(), [KOREAN], { add: 10, signal: AbortSignal.abort() }).toThrow('aborted');
  });
});
