import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fixture } from '../../../../test/helpers/fixtures.node.ts';
import { mergesFromScores } from '../../../../test/helpers/merges-from-scores.ts';
import { tinyTokenizer } from '../../../../test/helpers/tiny-tokenizer.ts';
import { cpuSeconds } from '../../../../test/helpers/work.node.ts';
import { FileSource } from '../../../files/file.node.ts';

import { Tokenizer } from '../../../tokenizer/tokenizer.ts';
import { GgufMetadata } from '../reading/metadata.ts';
import { type GgufFile, openGguf } from '../reading/reader.ts';
import type { GgufEntry } from '../writing/entries.ts';
import { preTokenizerName, preTokenizerOf } from './pre-tokenizers.ts';
import { scoresFromMerges } from './scores.ts';
import { tokenizerFromGguf } from './tokenizer.ts';
import { entriesFromTokenizer } from './tokenizer-entries.ts';

function metadata(entries: readonly GgufEntry[]): GgufMetadata {
  const values = new Map(entries.map(([key, , value]) => [key, value]));
  const file: GgufFile = {
    ...{ name: 'm.gguf', version: 3, tensors: new Map(), close: async () => {} },
    metadata: values.set('general.architecture', 'llama'),
  };
  return new GgufMetadata(file);
}

function tokenizerOf(source: GgufMetadata): Tokenizer {
  const { files } = tokenizerFromGguf(source);
  return Tokenizer.fromJSON(files!.tokenizer, files!.config);
}

/** Made by Hugging Face's own conversion and library: see make_spm.py. */
const spm = JSON.parse(
  readFileSync(new URL('../../../../test/reference/spm.json', import.meta.url), 'utf8'),
) as {
  tokens: string[];
  scores: number[];
  types: number[];
  merges: [string, string][];
  texts: [string, number[]][];
};
const spmEntries: GgufEntry[] = [
  ['tokenizer.ggml.model', 'string', 'llama'],
  ['tokenizer.ggml.tokens', { array: 'string' }, spm.tokens],
  ['tokenizer.ggml.scores', { array: 'f32' }, Float32Array.from(spm.scores)],
  ['tokenizer.ggml.token_type', { array: 'i32' }, Int32Array.from(spm.types)],
  ['tokenizer.ggml.unknown_token_id', 'u32', 0],
  ['tokenizer.ggml.bos_token_id', 'u32', 1],
  ['tokenizer.ggml.eos_token_id', 'u32', 2],
];

describe('a SentencePiece-style vocabulary', () => {
  const ids = new Map(spm.tokens.map((token, id) => [token, id]));

  it("gives Hugging Face's merges and ids", () => {
    expect(mergesFromScores(spm.tokens, spm.types, spm.scores, ids)).toEqual(spm.merges);
    const tokenizer = tokenizerOf(metadata(spmEntries));
    for (const [text, expected] of spm.texts) {
      expect(tokenizer.encode(text, { addSpecialTokens: false }), text).toEqual(expected);
      expect(tokenizer.encode(text)).toEqual([1, ...expected]);
    }
  });

  it('survives being written and read', () => {
    const { files } = tokenizerFromGguf(metadata(spmEntries));
    const facts = { vocabSize: spm.tokens.length, bosId: null, padId: null, stopIds: [2] };
    const { entries, notes } = entriesFromTokenizer(files!, facts, 'm');
    expect(notes).toEqual([]);
    const values = new Map(entries.map(([key, , value]) => [key, value]));
    expect(values.get('tokenizer.ggml.tokens')).toEqual(spm.tokens);
    expect(Array.from(values.get('tokenizer.ggml.token_type') as Int32Array)).toEqual(spm.types);
    expect(values.get('tokenizer.ggml.add_bos_token')).toBe(true);
    expect(values.get('tokenizer.ggml.add_space_prefix')).toBe(true);
    const back = tokenizerOf(metadata(entries));
    for (const [text, expected] of spm.texts) {
      expect(back.encode(text, { addSpecialTokens: false }), text).toEqual(expected);
    }
  });

  it('has the pairs counted that its scores cannot tell apart', () => {
    const tokens = ['a', 'b', 'ab', 'abb', 'bb'];
    const known = new Map(tokens.map((token, id) => [token, id]));
    const count = (merges: [string, string][]) => scoresFromMerges(tokens, merges, known, () => false);
    const all: [string, string][] = [
      ...([
        ['a', 'b'],
        ['b', 'b'],
        ['ab', 'b'],
        ['a', 'bb'],
      ] as [string, string][]),
    ];
    expect(count(all)).toEqual({ scores: Float32Array.of(-3, -3, 0, -2, -1), extraPairs: 0 });
    expect(count(all.slice(0, 3)).extraPairs).toBe(1);
  });

  it('of 168k tokens is turned into half a million merges in a few seconds', () => {
    const letters = [...'abcdefghijklmnopqrs▁'];
    const longer = (texts: string[]) => texts.flatMap((text) => letters.map((letter) => text + letter));
    const pairs = longer(letters);
    const unique = [...letters, ...pairs, ...longer(pairs), ...longer(longer(pairs))];
    const seconds = cpuSeconds(() => {
      const merges = mergesFromScores(
        unique,
        new Int32Array(unique.length).fill(1),
        Float32Array.from(unique, (_, i) => -i),
        new Map(unique.map((token, id) => [token, id])),
      );
      expect(merges.length).toBe(3 * 20 ** 4 + 2 * 20 ** 3 + 20 ** 2);
    });
    // About one second.
    expect(seconds).toBeLessThan(10);
  });
});

describe('a byte-level vocabulary', () => {
  const { tokenizer, config } = tinyTokenizer();
  const facts = { vocabSize: 64, bosId: 2, padId: 0, stopIds: [1, 7] };
  const { entries } = entriesFromTokenizer({ tokenizer, config }, facts, 'm');
  const changed = (change: (json: Record<string, Record<string, unknown>>) => void) => {
    const json = structuredClone(tokenizer) as Record<string, Record<string, unknown>>;
    change(json);
    return () => entriesFromTokenizer({ tokenizer: json, config }, facts, 'm');
  };

  it('survives being written and read, with ids, special tokens, template and end-of-text tokens', () => {
    const [before, after] = [Tokenizer.fromJSON(tokenizer, config), tokenizerOf(metadata(entries))];
    for (const text of ['the and he<stop>\n', 'in the sand. <turn><turn>on']) {
      expect(after.encode(text)).toEqual(before.encode(text));
      expect(after.decode(after.encode(text))).toBe(before.decode(before.encode(text)));
    }
    const { files, stopIds } = tokenizerFromGguf(metadata(entries));
    expect(stopIds).toEqual([1, 7]);
    expect(files!.config).toMatchObject({
      eos_token: '<end>',
      pad_token: '<pad>',
      chat_template: config.chat_template,
    });
  });

  it('is refused by name when llama.cpp has no form for it', () => {
    expect(changed((json) => (json.pre_tokenizer = { type: 'Whitespace' }))).toThrow('"pre_tokenizer"');
    expect(changed((json) => (json.pre_tokenizer!.add_prefix_space = true))).toThrow('"pre_tokenizer"');
    expect(changed((json) => (json.normalizer = { type: 'Lowercase' }))).toThrow('"normalizer"');
    expect(changed((json) => (json.model!.dropout = 0.1))).toThrow('dropout');
    expect(changed((json) => Object.assign(json.model!, { vocab: { a: 64 }, merges: [] }))).toThrow(
      'the id 64',
    );
    expect(changed((json) => (json.model = { type: 'Unigram', vocab: [['a', 0]], unk_id: 0 }))).toThrow(
      'this one is Unigram',
    );
    expect(() =>
      entriesFromTokenizer({ tokenizer, config: { eos_token: null } }, { ...facts, stopIds: [] }, 'm'),
    ).toThrow('no token ends a text');
  });

  it("is recognized by llama.cpp's names, in all their spellings", () => {
    for (const name of ['gpt-2', 'llama-bpe', 'smollm', 'qwen2']) {
      const pre = preTokenizerOf(name)!;
      expect(preTokenizerName(pre.json(false), pre.ignoresMerges)).toBe(name);
      expect(preTokenizerName(pre.json(true), pre.ignoresMerges)).toBeUndefined();
    }
    const bytes = { type: 'ByteLevel', use_regex: true, add_prefix_space: false };
    const digits = { type: 'Digits', individual_digits: true };
    expect(preTokenizerName({ type: 'Sequence', pretokenizers: [digits, bytes] }, false)).toBe('smollm');
  });
});

describe('reading a hostile vocabulary', () => {
  const refusal = (entries: readonly GgufEntry[]) => () => tokenizerFromGguf(metadata(entries));
  const replaced = (key: string, entry: GgufEntry) => [...spmEntries.filter(([name]) => name !== key), entry];
  it.each([
    ['tokens that are equal', 'tokenizer.ggml.tokens', ['a', 'a'], 'tokens 0 and 1 are the same text'],
    ['too few kinds', 'tokenizer.ggml.tokens', ['a'], '1 tokens but 364 token types'],
  ] as const)('refuses %s', (_what, key, tokens, message) => {
    const entries = replaced(key, [key, { array: 'string' }, tokens]);
    const few = message.startsWith('tokens')
      ? entries.filter(([name]) => name !== 'tokenizer.ggml.token_type')
      : entries;
    expect(refusal(few)).toThrow(message);
  });
  it('refuses ids that are not numbers, unknown token types and endless tokens', () => {
    const key = 'tokenizer.ggml.bos_token_id';
    expect(refusal(replaced(key, [key, 'string', '1']))).toThrow('must be a token id');
    const model = 'tokenizer.ggml.model';
    expect(refusal(replaced(model, [model, 'string', 'rwkv']))).toThrow('its tokenizer has the type "rwkv"');
    const endless = spm.tokens.with(300, 'x'.repeat(1 << 20));
    const tokens = 'tokenizer.ggml.tokens';
    expect(refusal(replaced(tokens, [tokens, { array: 'string' }, endless]))).toThrow(
      'token 300 has 1048576',
    );
  });
});

describe("GPT-2's vocabulary", () => {
  it("gives llama.cpp's ids", async () => {
    const golden = fixture('ggml-vocab-gpt-2.gguf');
    const source = await FileSource.open(golden);
    const tokenizer = tokenizerOf(new GgufMetadata(await openGguf(source)));
    await source.close();
    const texts = readFileSync(`${golden}.inp`, 'utf8').split('\n__ggml_vocab_test__\n');
    const lines = readFileSync(`${golden}.out`, 'utf8').split('\n');
    expect(texts.length).toBeGreaterThan(40);
    texts.forEach((text, i) => {
      const expected = lines[i]!.trim() === '' ? [] : lines[i]!.trim().split(/\s+/).map(Number);
      expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify(text)).toEqual(expected);
    });
  });
});
