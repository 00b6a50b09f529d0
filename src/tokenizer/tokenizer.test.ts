import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { Tokenizer as NativeTokenizer } from 'tokenizers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixture } from '../../test/helpers/fixtures.node.ts';
import { BYTE_TO_CHAR } from './byte-alphabet.ts';
import { loadTokenizer } from './tokenizer.node.ts';
import { Tokenizer } from './tokenizer.ts';

const STORIES = fixture('stories260K');
const GPT2 = fixture('ggml-vocab-gpt-2.gguf');

/** GPT-2's tokenizer.json as Hugging Face writes it, with a given vocabulary. */
function gpt2Json(tokens: readonly string[], merges: readonly string[]) {
  const id = tokens.indexOf('<|endoftext|>');
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: true, special: true };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    added_tokens: [{ id, content: '<|endoftext|>', ...flags }],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: { ...byteLevel, add_prefix_space: true, trim_offsets: false },
    decoder: { ...byteLevel, add_prefix_space: true },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.map((token, index) => [token, index])),
      merges,
    },
  };
}

/** Texts that tokenizers trip over, in any order: scripts, joiners, odd spaces, special tokens, contractions. */
const text = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...' \n\t\r\u0085\ufeff\u3000\u00a0',
        '한국어',
        '👩‍👩‍👧',
        "'s",
        "'LL",
        '<s>',
        '<|endoftext|>',
        '12345',
      ),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 4 }),
      fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 12 }),
    ),
    { maxLength: 12 },
  )
  .map((units) => units.join(''));

async function agreesWithNative(json: object): Promise<void> {
  const ours = Tokenizer.fromJSON(json);
  const native = NativeTokenizer.fromString(JSON.stringify(json));
  await fc.assert(
    fc.asyncProperty(text, fc.boolean(), fc.boolean(), async (input, addSpecialTokens, skipSpecialTokens) => {
      const ids = ours.encode(input, { addSpecialTokens });
      expect(ids).toEqual([...(await native.encode(input, null, { addSpecialTokens })).getIds()]);
      expect(ours.decode(ids, { skipSpecialTokens })).toBe(await native.decode(ids, skipSpecialTokens));
    }),
    { numRuns: 400 },
  );
}

describe('a byte-level BPE tokenizer', () => {
  const json = gpt2Json(
    [...BYTE_TO_CHAR, 'Ġt', 'Ġth', 'íķ', 'íķľ', "'s", 'ĊĊ', '<|endoftext|>'],
    ['Ġ t', 'Ġt h', 'í ķ', 'íķ ľ', "' s", 'Ċ Ċ'],
  );

  it("gives the native library's ids and texts, U+0085 and U+FEFF included", () => agreesWithNative(json));

  it('adds what the post-processor puts around the text, as the native library does', async () => {
    const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
    const endOfText = { id: '<|endoftext|>', ids: [262], tokens: ['<|endoftext|>'] };
    const template = {
      type: 'TemplateProcessing',
      single: [special('<|endoftext|>'), { Sequence: { id: 'A', type_id: 0 } }, special('<|endoftext|>')],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { '<|endoftext|>': endOfText },
    };
    const llama3 = { type: 'Sequence', processors: [json.post_processor, template] };
    for (const post_processor of [template, llama3]) {
      expect(Tokenizer.fromJSON({ ...json, post_processor }).encode(' th')).toEqual([262, 257, 262]);
      await agreesWithNative({ ...json, post_processor });
    }
  });

  it("gives the native library's ids with Llama 3's pattern", async () => {
    const Regex =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" +
      ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
    const pre_tokenizer = {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    };
    await agreesWithNative({ ...json, pre_tokenizer });
  });

  it('gives the same ids off the fast path: with a prefix space, or a normalizer', async () => {
    await agreesWithNative({ ...json, pre_tokenizer: { ...json.pre_tokenizer, add_prefix_space: true } });
    await agreesWithNative({ ...json, normalizer: { type: 'NFC' } });
  });

  it('decodes any ids as the native library does, including invalid UTF-8', async () => {
    const ours = Tokenizer.fromJSON(json);
    const native = NativeTokenizer.fromString(JSON.stringify(json));
    const ids = fc.array(fc.integer({ min: 0, max: ours.vocabSize - 1 }), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(ids, fc.boolean(), async (sequence, skipSpecialTokens) => {
        const expected = await native.decode(sequence, skipSpecialTokens);
        expect(ours.decode(sequence, { skipSpecialTokens })).toBe(expected);
      }),
      { numRuns: 400 },
    );
  });

  it('lists its vocabulary', () => {
    const tokenizer = Tokenizer.fromJSON(json);
    expect(tokenizer.vocabSize).toBe(263);
    expect(tokenizer.tokenToId('Ġth')).toBe(257);
    expect(tokenizer.idToToken(257)).toBe('Ġth');
    expect([tokenizer.tokenToId('absent'), tokenizer.idToToken(263)]).toEqual([undefined, undefined]);
    expect([tokenizer.isSpecial(262), tokenizer.isSpecial(0)]).toEqual([true, false]);
    expect(tokenizer.decode([257, 99_999, 257])).toBe(' th th');
    expect(tokenizer.decode([])).toBe('');
    expect(tokenizer.encode('')).toEqual([]);
    expect(tokenizer.toJSON()).toEqual(json);
  });

  it('takes bos and eos from the configuration, then from well-known names', () => {
    const ids = (config?: unknown) => {
      const tokenizer = Tokenizer.fromJSON(json, config);
      return [tokenizer.bosId, tokenizer.eosId];
    };
    expect(ids()).toEqual([262, 262]);
    expect(ids({ bos_token: null, eos_token: { content: '<|endoftext|>' } })).toEqual([undefined, 262]);
    expect(ids({ bos_token: 'Ġt', eos_token: 'absent' })).toEqual([256, undefined]);
  });

  it('never cleans up spaces', () => {
    const tokenizer = Tokenizer.fromJSON(json, { clean_up_tokenization_spaces: true });
    expect(tokenizer.decode(tokenizer.encode("a , b . do n't"))).toBe("a , b . do n't");
  });

  it("gives GPT-2's published ids", () => {
    const { tokens, merges } = ggufVocabulary(readFileSync(GPT2));
    const tokenizer = Tokenizer.fromJSON(gpt2Json(tokens, merges));
    // Records of the .inp file are separated by this line; one line of ids each in the .out file.
    const inputs = readFileSync(`${GPT2}.inp`, 'utf8').split('\n__ggml_vocab_test__\n');
    const outputs = readFileSync(`${GPT2}.out`, 'utf8').trimEnd().split('\n');
    expect(tokenizer.vocabSize).toBe(50257);
    expect(outputs.length).toBeGreaterThan(30);
    for (const [index, output] of outputs.entries()) {
      const expected = output.trim() === '' ? [] : output.trim().split(' ').map(Number);
      expect(tokenizer.encode(inputs[index]!)).toEqual(expected);
    }
  });
});

describe('the SentencePiece-style tokenizer of stories260K', () => {
  it("gives the native library's ids and texts", async () => {
    await agreesWithNative(JSON.parse(readFileSync(join(STORIES, 'tokenizer.json'), 'utf8')));
  });

  it("gives the native library's ids in Gemma's form, and where tokens cross words", async () => {
    const json = JSON.parse(readFileSync(join(STORIES, 'tokenizer.json'), 'utf8'));
    const gemma = {
      ...json,
      normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      pre_tokenizer: {
        type: 'Split',
        pattern: { String: ' ' },
        behavior: 'MergedWithPrevious',
        invert: false,
      },
    };
    await agreesWithNative(gemma);
    const { vocab, merges } = json.model;
    const crossing = { ...json.model, vocab: { ...vocab, 'e▁': 512 }, merges: [['e', '▁'], ...merges] };
    await agreesWithNative({ ...json, model: crossing });
    expect(
      Tokenizer.fromJSON({ ...json, model: crossing }).encode('e z', { addSpecialTokens: false }),
    ).toContain(512);
  });

  it('gives the golden text', () => {
    const golden = JSON.parse(readFileSync(join(STORIES, 'golden.json'), 'utf8'));
    const tokenizer = loadTokenizer(STORIES);
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.vocabSize]).toEqual([1, 2, 512]);
    expect(tokenizer.encode('')).toEqual([1]);
    // The golden text joins the vocabulary's own spellings: the first space stays, a line feed is `<0x0A>`.
    expect(` ${tokenizer.decode(golden.greedy_ids)}`).toBe(golden.text.replaceAll('<0x0A>', '\n'));
  });

  it('decodes bytes that are not UTF-8 as the native library does', async () => {
    const tokenizer = loadTokenizer(STORIES);
    const native = NativeTokenizer.fromFile(join(STORIES, 'tokenizer.json'));
    const bytes = [0xea, 0xb0, 0x80, 0xea].map(
      (byte) => tokenizer.tokenToId(`<0x${byte.toString(16).toUpperCase()}>`)!,
    );
    expect(tokenizer.decode(bytes)).toBe('\ufffd\ufffd\ufffd\ufffd');
    expect(await native.decode(bytes, false)).toBe('\ufffd\ufffd\ufffd\ufffd');
    expect(tokenizer.decode(bytes.slice(0, 3))).toBe('가');
  });
});

describe('opening and using an invalid tokenizer', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'ropewalk-tokenizer-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  const model = { type: 'BPE', vocab: { a: 0 }, merges: [] };
  it.each<[string, unknown, RegExp]>([
    ['an array', [], /f: not a tokenizer\.json/],
    ['no model', {}, /f: .*"model" is missing/],
    ['an unknown model', { model: { type: 'Magic', vocab: {} } }, /f: .*"Magic"; Ropewalk runs BPE/],
    ['no type', { model: { vocab: {} } }, /f: .*no type/],
    ['no vocabulary', { model: { type: 'BPE', merges: [] } }, /f: .*"model\.vocab"/],
    ['no merges', { model: { type: 'BPE', vocab: {} } }, /f: .*"model\.merges"/],
    ['a bad added token', { model, added_tokens: [{ id: -1, content: 'x' }] }, /f: .*"added_tokens\[0\]"/],
    ['a text as decoder', { model, decoder: 'ByteLevel' }, /f: .*"decoder"/],
    ['an unknown decoder', { model, decoder: { type: 'Magic' } }, /f: .*"decoder" has the type "Magic"/],
    ['a decoder without its fields', { model, decoder: { type: 'CTC' } }, /f: .*"decoder\.pad_token"/],
    ['an unknown pre-tokenizer', { model, pre_tokenizer: { type: 'Magic' } }, /f: .*Magic/],
    ['an unknown normalizer', { model, normalizer: { type: 'Magic' } }, /f: .*Magic/],
  ])('refuses %s', (_name, json, message) => {
    expect(() => Tokenizer.fromJSON(json, undefined, 'f')).toThrow(message);
  });

  it('refuses a configuration that is not an object', () => {
    expect(() => Tokenizer.fromJSON({ model }, [])).toThrow(/configuration is not a JSON object/);
  });

  it('names a character that has no token', () => {
    expect(Tokenizer.fromJSON({ model }).encode('ab')).toEqual([0]); // The native library drops it, too.
    const lacking = { ...model, unk_token: '<unk>' };
    expect(() => Tokenizer.fromJSON({ model: lacking }).encode('ab')).toThrow(/character without a token/);
  });

  it('names files that are missing or are not JSON', () => {
    expect(() => loadTokenizer(join(directory, 'absent'))).toThrow(/absent: no such file or directory/);
    expect(() => loadTokenizer(directory)).toThrow(/tokenizer\.json: no such file/);
    writeFileSync(join(directory, 'tokenizer.json'), '{"model": ');
    expect(() => loadTokenizer(directory)).toThrow(/tokenizer\.json: not valid JSON/);
    writeFileSync(join(directory, 'tokenizer.json'), JSON.stringify({ model }));
    expect(loadTokenizer(directory).vocabSize).toBe(1);
    writeFileSync(join(directory, 'tokenizer_config.json'), JSON.stringify({ eos_token: 'a' }));
    expect(loadTokenizer(join(directory, 'tokenizer.json')).eosId).toBe(0);
    mkdirSync(join(directory, 'odd', 'tokenizer.json'), { recursive: true });
    expect(() => loadTokenizer(join(directory, 'odd'))).toThrow(/odd.tokenizer\.json: /);
  });
});

/** The token and merge lists of a GGUF file's metadata (the published layout, version 3). */
function ggufVocabulary(file: Buffer): { tokens: string[]; merges: string[] } {
  let offset = 8;
  const count = () => {
    offset += 8;
    return Number(file.readBigUInt64LE(offset - 8));
  };
  const uint32 = () => {
    offset += 4;
    return file.readUInt32LE(offset - 4);
  };
  const string = () => {
    const length = count();
    offset += length;
    return file.toString('utf8', offset - length, offset);
  };
  const SIZES: Record<number, number> = {
    0: 1,
    1: 1,
    2: 2,
    3: 2,
    4: 4,
    5: 4,
    6: 4,
    7: 1,
    10: 8,
    11: 8,
    12: 8,
  };
  const value = (type: number): unknown => {
    if (type === 8) return string();
    if (type === 9) {
      const element = uint32();
      return Array.from({ length: count() }, () => value(element));
    }
    offset += SIZES[type]!;
    return undefined;
  };
  count(); // tensors
  const metadata = new Map<string, unknown>();
  for (let left = count(); left > 0; left--) {
    const key = string();
    metadata.set(key, value(uint32()));
  }
  const list = (key: string) => metadata.get(`tokenizer.ggml.${key}`) as string[];
  return { tokens: list('tokens'), merges: list('merges') };
}
