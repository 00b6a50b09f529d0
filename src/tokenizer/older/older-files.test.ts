import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { Tokenizer as Rust } from 'tokenizers';
import { describe, expect, it } from 'vitest';
import { RopewalkError } from '../../errors.ts';
import { loadTokenizer } from '../tokenizer.node.ts';
import { Tokenizer } from '../tokenizer.ts';
import { readVocabularyFiles, tokenizerFromVocabulary } from './byte-level.ts';
import { tokenizerFromOlderFiles } from './files.ts';
import { tokenizerFromSentencePiece } from './sentencepiece.ts';

const reference = (path: string) =>
  fileURLToPath(new URL(`../../../test/reference/${path}`, import.meta.url));
const rowsOf = (folder: string) =>
  JSON.parse(readFileSync(reference(`${folder}/ids.json`), 'utf8')) as {
    text: string;
    ids: Record<string, number[]>;
  }[];

describe('a tokenizer.model file', () => {
  const rows = rowsOf('sentencepiece');
  const names = Object.keys(rows[0]!.ids);

  it.each(names)(
    '%s: gives the ids of Python’s sentencepiece, and the same as a tokenizer.json in the Rust library',
    async (name) => {
      const tokenizer = loadTokenizer(reference(`sentencepiece/${name}.model`));
      const rust = Rust.fromString(JSON.stringify(tokenizer.toJSON()));
      for (const { text, ids } of rows) {
        expect(tokenizer.encode(text, { addSpecialTokens: false }), text).toEqual(ids[name]);
        const theirs = await rust.encode(text, null, { addSpecialTokens: false });
        expect(theirs.getIds(), text).toEqual(ids[name]);
      }
    },
  );

  it('adds bos unless tokenizer_config.json says otherwise, and adds eos only on request there', () => {
    const bytes = readFileSync(reference('sentencepiece/bpe-bytes.model'));
    const encode = (config: Record<string, unknown>) => {
      const made = tokenizerFromSentencePiece(bytes, config, 'm');
      return Tokenizer.fromJSON(made.tokenizer, made.config).encode('');
    };
    expect(encode({})).toEqual([1]);
    expect(encode({ add_bos_token: false })).toEqual([]);
    expect(encode({ add_eos_token: true })).toEqual([1, 2]);
  });

  it('decodes what it encoded, and finds control tokens in a text', () => {
    const tokenizer = loadTokenizer(reference('sentencepiece/bpe-symbols.model'));
    const text = '[INST]  옛날 옛적에 😀\n x[/INST]';
    expect(tokenizer.decode(tokenizer.encode(text, { addSpecialTokens: false }))).toBe(text);
    expect(tokenizer.encode('</s>')).toEqual([1, 2]);
    expect([tokenizer.bosId, tokenizer.eosId]).toEqual([1, 2]);
  });

  it('is refused by name when it is damaged, and never otherwise', () => {
    const models = readdirSync(reference('sentencepiece')).filter((name) => /^bpe.*\.model$/.test(name));
    const whole = models.map((name) => readFileSync(reference(`sentencepiece/${name}`)));
    const open = (bytes: Uint8Array) => {
      try {
        const { tokenizer, config } = tokenizerFromSentencePiece(bytes, {}, 'x.model');
        Tokenizer.fromJSON(tokenizer, config).encode('a rope');
        return undefined;
      } catch (error) {
        expect(error, String((error as Error).stack)).toBeInstanceOf(RopewalkError);
        return (error as Error).message;
      }
    };
    const change = fc.record({
      model: fc.nat(whole.length - 1),
      cut: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
      bytes: fc.array(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255)), {
        maxLength: 6,
      }),
    });
    fc.assert(
      fc.property(change, ({ model, cut, bytes }) => {
        const damaged = Uint8Array.from(whole[model]!);
        for (const [place, byte] of bytes) damaged[Math.floor(place * damaged.length)] = byte;
        open(cut === null ? damaged : damaged.subarray(0, Math.floor(cut * damaged.length)));
      }),
      { numRuns: 150 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void open(bytes)),
      { numRuns: 300 },
    );
    expect(open(new Uint8Array(0))).toMatch(/x\.model: it is not a SentencePiece model \(no tokens\); use/);
    // A group within a group, ten thousand times; a length of 2 GB.
    expect(open(new Uint8Array(10_000).fill(0x0b))).toContain('not a SentencePiece model');
    expect(open(Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x07))).toContain('not a SentencePiece model');
  });

  it('is refused by name when tokenizer.json cannot express its kind', () => {
    const piece = (text: string, type = 1) => {
      const bytes = new TextEncoder().encode(text);
      return [0x0a, bytes.length + 4, 0x0a, bytes.length, ...bytes, 0x18, type];
    };
    const pieces = [...piece('<unk>', 2), ...piece('<s>', 3), ...piece('</s>', 3), ...piece('a')];
    const open = (...more: number[]) =>
      tokenizerFromSentencePiece(Uint8Array.from([...pieces, ...more]), {}, 'm');
    expect(open().tokenizer.model).toMatchObject({ type: 'Unigram' });
    expect(() => open(0x12, 2, 0x18, 3)).toThrow(/type "word".*tokenizer\.json/);
    expect(() => open(0x12, 3, 0xc0, 0x01, 1)).toThrow('treat_whitespace_as_suffix');
    expect(() => open(0x1a, 2, 0x28, 0)).toThrow('escape_whitespaces');
    expect(() => open(0x1a, 6, 0x0a, 1, 0x78, 0x12, 1, 0x78)).toThrow('its own normalization rules ("x")');
    expect(() => open(0x2a, 3, 0x12, 1, 0x78)).toThrow('denormalizer_spec');
    expect(() => open(...piece('b', 5))).toThrow('token 4 has the type "unused"');
    expect(() => open(...piece('a'))).toThrow('token 4, "a", appears twice');
    expect(() => open(0x12, 3, 0xc0, 0x02, 3)).toThrow('its unknown token is not of the type "unknown"');
  });
});

describe('the pair vocab.json and merges.txt', () => {
  const rows = rowsOf('vocab-merges');

  it.each(Object.keys(rows[0]!.ids))('%s: gives the ids of transformers', (name) => {
    const tokenizer = loadTokenizer(reference(`vocab-merges/${name}`));
    for (const { text, ids } of rows) expect(tokenizer.encode(text), text).toEqual(ids[name]);
  });

  it('is refused by name when it is of another class or damaged', () => {
    const vocab = { Ġ: 0, a: 1, b: 2, ab: 3 };
    const open = (merges: string, config = {}, modelType: unknown = undefined, words: object = vocab) =>
      tokenizerFromVocabulary(readVocabularyFiles(words as Record<string, unknown>, merges, 'm'), {
        ...{ config, modelType, folder: 'm' },
      });
    expect(open('#version: 0.2\r\na b\r\n').tokenizer.model).toMatchObject({ merges: [['a', 'b']] });
    expect(() => open('a b', { tokenizer_class: 'RobertaTokenizerFast' })).toThrow(
      /class "RobertaTokenizer".*write one/,
    );
    expect(() => open('a b', {}, 'ctrl')).toThrow('of the type "ctrl"');
    expect(() => open('a b', { tokenizer_class: 'constructor' })).toThrow('class "constructor"');
    expect(() => open('a b\na  b')).toThrow('m/merges.txt: line 2 is not two tokens');
    expect(() => open('a b', {}, 'gpt2', { ...vocab, a: 'x' })).toThrow('m/vocab.json: "a" has no id');
    expect(() => open('a b', {}, 'gpt2', { a: 0 })).toThrow('not byte-level');
    const files = { model: undefined, config: undefined, modelConfig: undefined };
    expect(() => tokenizerFromOlderFiles({ ...files, vocab, merges: undefined }, 'm')).toThrow(
      'a vocab.json without a merges.txt',
    );
    expect(() => tokenizerFromOlderFiles({ ...files, vocab: undefined, merges: '' }, 'm')).toThrow(
      'a merges.txt without a vocab.json',
    );
    expect(tokenizerFromOlderFiles({ ...files, vocab: undefined, merges: undefined }, 'm')).toBeUndefined();
  });
});
