import { Tokenizer as RustTokenizer } from 'tokenizers';
import { describe, expect, it } from 'vitest';
import { Chooser } from '../../../test/helpers/random-tokenizers/chooser.ts';
import { randomModel } from '../../../test/helpers/random-tokenizers/models.ts';
import { cpuSeconds } from '../../../test/helpers/work.node.ts';
import { RopewalkError } from '../../errors.ts';
import type { JsonObject } from '../tokenizer-schema.ts';
import { createModel } from './index.ts';

const ALPHABET = ['a', 'b', 'c', '▁', '가', '나', 'é', '😀', 'x', ' ', '#', '##', '<', '\n', '0'];

function rust(model: JsonObject): RustTokenizer {
  return RustTokenizer.fromString(JSON.stringify({ version: '1.0', added_tokens: [], model }));
}

async function rustIds(tokenizer: RustTokenizer, text: string): Promise<number[] | undefined> {
  try {
    return (await tokenizer.encode(text, null, { addSpecialTokens: false })).getIds();
  } catch {
    return undefined;
  }
}

function ids(model: JsonObject, text: string): number[] {
  const result: number[] = [];
  createModel(model, 'tokenizer.json').encode(text, result);
  return result;
}

/** Our ids; undefined where a text is refused. */
function idsOrRefusal(model: ReturnType<typeof createModel>, text: string): number[] | undefined {
  const result: number[] = [];
  try {
    model.encode(text, result);
    return result;
  } catch (error) {
    if (error instanceof RopewalkError) return undefined;
    throw error;
  }
}

describe('tokenizer models with random settings', () => {
  it('give the ids of the Rust library', async () => {
    for (let seed = 0; seed < 400; seed++) {
      const choose = new Chooser(seed);
      const json = randomModel(choose, ALPHABET);
      let oracle: RustTokenizer;
      try {
        oracle = rust(json);
      } catch {
        expect(() => createModel(json, 'x'), `seed ${seed}`).toThrow(RopewalkError);
        continue;
      }
      const model = createModel(json, 'x');
      for (let i = 0; i < 10; i++) {
        const text = choose.text(ALPHABET, choose.pick([4, 12, 200]));
        expect(idsOrRefusal(model, text), `seed ${seed}, ${JSON.stringify(text)}`).toEqual(
          await rustIds(oracle, text),
        );
      }
      const { vocab } = json;
      const entries: [string, number][] = Array.isArray(vocab)
        ? vocab.map(([token], id) => [token as string, id])
        : Object.entries(vocab as Record<string, number>);
      for (const [token, id] of new Map(entries)) expect(model.tokenToId(token)).toBe(id);
      expect(model.highestId).toBe(Math.max(...new Map(entries).values()));
    }
  });
});

describe('BPE', () => {
  const model = {
    type: 'BPE',
    unk_token: '<unk>',
    byte_fallback: true,
    fuse_unk: true,
    vocab: { '<unk>': 0, a: 1, b: 2, ab: 3, '<0xC3>': 4, '<0xA9>': 5 },
    merges: [['a', 'b']],
  };

  it('holds an unknown token back until a known one follows, so bytes come before it, as in Rust', async () => {
    // é has its bytes here, 가 has not.
    expect(ids(model, '가éab')).toEqual(await rustIds(rust(model), '가éab'));
    expect(ids(model, '가éab')).toEqual([4, 5, 0, 3]);
  });

  it('skips characters without a token when there is no unknown token, as in Rust', async () => {
    const silent = { ...model, unk_token: null };
    expect(ids(silent, 'a가b')).toEqual(await rustIds(rust(silent), 'a가b'));
    expect(ids(silent, 'a가b')).toEqual([3]);
  });

  it('uses the later of two merges of one pair', async () => {
    const twice = {
      type: 'BPE',
      vocab: { a: 0, b: 1, c: 2, ab: 3, bc: 4 },
      merges: [
        ['a', 'b'],
        ['b', 'c'],
        ['a', 'b'],
      ],
    };
    expect(ids(twice, 'abc')).toEqual(await rustIds(rust(twice), 'abc'));
    expect(ids(twice, 'abc')).toEqual([0, 4]);
  });

  it('merges a million characters in one piece', () => {
    const vocab: Record<string, number> = { a: 0 };
    const merges: [string, string][] = [];
    for (let size = 1; size <= 64; size *= 2) {
      const half = 'a'.repeat(size);
      vocab[half + half] = merges.length + 1;
      merges.push([half, half]);
    }
    const seconds = cpuSeconds(() => {
      const result = ids({ type: 'BPE', vocab, merges }, 'a'.repeat(1_000_000));
      expect(result.length).toBe(Math.ceil(1_000_000 / 128));
    });
    expect(seconds).toBeLessThan(10);
  });
});

describe('Unigram', () => {
  const vocab: [string, number][] = [
    ['<unk>', 0],
    ['a', -1],
    ['b', -1],
    ['ab', -1.5],
  ];

  it('gives more than 120,000 tokens for one text', async () => {
    const model = { type: 'Unigram', unk_id: 0, vocab };
    const text = 'abba?'.repeat(60_000);
    const result = ids(model, text);
    expect(result.length).toBe(240_000);
    expect(result).toEqual(await rustIds(rust(model), text));
  });

  it('fuses unknown characters, which may then be a token, and falls back to bytes', async () => {
    const model = {
      type: 'Unigram',
      unk_id: 0,
      byte_fallback: true,
      vocab: [...vocab, ['<0x0A>', -20], ['<0xEA>', -20], ['<0xB0>', -20], ['<0x80>', -20], ['?!', -1000]],
    };
    for (const text of ['a\nb', '가a\n\n', 'a?!', 'a??', '나']) {
      expect(ids(model, text)).toEqual(await rustIds(rust(model), text));
    }
    expect(ids(model, 'a\n가')).toEqual([1, 4, 5, 6, 7]);
  });

  it('refuses a text with an unknown character where no token stands for it', () => {
    expect(() => ids({ type: 'Unigram', vocab }, 'a?')).toThrow(/tokenizer\.json: .*model\.unk_id/);
  });
});

describe('WordPiece', () => {
  it('counts characters, not UTF-16 code units', async () => {
    const model = {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 3,
      vocab: { '[UNK]': 0, '😀': 1, '##😀': 2, '##😀😀': 3 },
    };
    for (const text of ['😀', '😀😀😀', '😀😀😀😀']) {
      expect(ids(model, text)).toEqual(await rustIds(rust(model), text));
    }
    expect(ids(model, '😀😀😀')).toEqual([1, 3]);
  });
});

describe('opening a tokenizer model that cannot be run', () => {
  const bpe = { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [] };
  const unigram = { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0]] };
  const wordPiece = {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 100,
    vocab: {},
  };
  it.each<[string, JsonObject, RegExp]>([
    ['dropout', { ...bpe, dropout: 0.1 }, /model\.dropout/],
    ['no vocabulary', { type: 'BPE', merges: [] }, /model\.vocab/],
    ['no merges', { type: 'BPE', vocab: {} }, /model\.merges/],
    ['a huge id', { ...bpe, vocab: { a: 4294967295 } }, /model\.vocab.*4294967295/],
    ['a negative id', { ...bpe, vocab: { a: -1 } }, /model\.vocab/],
    ['a fractional id', { ...bpe, vocab: { a: 1.5 } }, /model\.vocab/],
    ['a lone surrogate', { ...bpe, vocab: { '\ud800': 1 } }, /model\.vocab.*surrogate/],
    ['a merge of an unknown token', { ...bpe, merges: [['a', 'c']] }, /model\.merges.*"c"/],
    ['a merge into an unknown token', { ...bpe, merges: [['a', 'b']] }, /model\.merges.*"ab"/],
    ['a merge of three', { ...bpe, merges: ['a b a'] }, /model\.merges.*pair/],
    ['merges of two kinds', { ...bpe, merges: ['a b', ['a', 'b']] }, /model\.merges/],
    ['a merge of null', { ...bpe, merges: [null] }, /model\.merges/],
    [
      'a part shorter than the prefix',
      { ...bpe, continuing_subword_prefix: '##', merges: [['a', 'b']] },
      /model\.merges.*prefix/,
    ],
    ['a flag that is none', { ...bpe, fuse_unk: 'yes' }, /model\.fuse_unk/],
    ['an unknown token that is no text', { ...bpe, unk_token: 7 }, /model\.unk_token/],
    ['a score that is no number', { ...unigram, vocab: [['a', Number.NaN]] }, /model\.vocab.*at 0/],
    ['an infinite score', { ...unigram, vocab: [['a', Number.NEGATIVE_INFINITY]] }, /model\.vocab/],
    ['an entry of three', { ...unigram, vocab: [['a', 0, 0]] }, /model\.vocab/],
    ['an unknown id beyond the vocabulary', { ...unigram, unk_id: 1 }, /model\.unk_id/],
    ['an unknown id that is none', { ...unigram, unk_id: -1 }, /model\.unk_id/],
    ['no prefix', { ...wordPiece, continuing_subword_prefix: undefined }, /continuing_subword_prefix/],
    ['no length', { ...wordPiece, max_input_chars_per_word: null }, /max_input_chars_per_word/],
    ['no unknown token', { type: 'WordLevel', vocab: {} }, /unk_token/],
    ['a type of another library', { type: 'constructor', vocab: {} }, /type "constructor"/],
    ['no type', { vocab: {} }, /no type/],
  ])('throws an error that names the field: %s', (_name, model, problem) => {
    const open = () => createModel(model, 'tokenizer.json');
    expect(open).toThrow(RopewalkError);
    expect(open).toThrow(problem);
    expect(open).toThrow(/^tokenizer\.json: /);
  });
});
