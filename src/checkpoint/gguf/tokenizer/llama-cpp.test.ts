import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BYTE_TO_CHAR } from '../../../tokenizer/byte-alphabet.ts';
import { Tokenizer } from '../../../tokenizer/tokenizer.ts';
import { GgufMetadata } from '../reading/metadata.ts';
import type { GgufValue } from '../types.ts';
import { preTokenizerName, preTokenizerOf } from './pre-tokenizers.ts';
import { recognizePreTokenizer } from './recognize.ts';
import { tokenizerFromGguf } from './tokenizer.ts';
import { entriesFromTokenizer } from './tokenizer-entries.ts';

interface Case {
  readonly name: string;
  readonly vocabulary: string;
  readonly specials: readonly (readonly [text: string, type: number])[];
  readonly types: boolean;
  readonly metadata: Readonly<Record<string, string | number | boolean>>;
  /** With their ids, or the ids of the texts that most cases share. */
  readonly texts: readonly (readonly [string, readonly number[]] | readonly number[])[];
  readonly control: readonly number[];
  readonly userDefined: readonly number[];
  readonly unknown: readonly number[];
  readonly ends: readonly number[];
}

/** Made by llama.cpp: see make_gguf_tokenizers.py. */
const reference = JSON.parse(
  readFileSync(new URL('../../../../test/reference/gguf-tokenizers.json', import.meta.url), 'utf8'),
) as { texts: string[]; pieces: string[]; merges: Record<string, string[]>; cases: Case[] };

const BYTES = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);
const [NORMAL, BYTE] = [1, 6];

function metadataOf({ name, vocabulary, specials, types, metadata }: Case): GgufMetadata {
  const values = new Map<string, GgufValue>([['general.architecture', 'llama']]);
  const set = (key: string, value: GgufValue) => values.set(`tokenizer.ggml.${key}`, value);
  const texts = specials.map(([text]) => text);
  const kinds = specials.map(([, type]) => type);
  const merges = reference.merges[vocabulary];
  if (merges) {
    const merged = [...new Set(merges.map((merge) => merge.replace(' ', '')))];
    const plain = [...[...BYTE_TO_CHAR].sort(), ...merged];
    set('model', 'gpt2');
    set('tokens', [...plain, ...texts]);
    set('merges', merges);
    if (types) set('token_type', Int32Array.from([...plain.map(() => NORMAL), ...kinds]));
  } else {
    const { pieces } = reference;
    const byte = name.includes('normal type') ? NORMAL : BYTE;
    set('model', 'llama');
    set('tokens', [...texts, ...BYTES, ...pieces]);
    set('scores', Float32Array.from([...texts, ...BYTES].map(() => 0).concat(pieces.map((_, i) => -i))));
    if (types) {
      set('token_type', Int32Array.from([...kinds, ...BYTES.map(() => byte), ...pieces.map(() => NORMAL)]));
    }
  }
  for (const [key, value] of Object.entries(metadata)) set(key, value);
  const file = { name: 'm.gguf', version: 3, tensors: new Map(), close: async () => {}, metadata: values };
  return new GgufMetadata(file);
}

function textsOf({ texts }: Case): (readonly [string, readonly number[]])[] {
  return texts.map((each, i) =>
    typeof each[0] === 'string'
      ? (each as readonly [string, readonly number[]])
      : [reference.texts[i]!, each as readonly number[]],
  );
}

const named = (name: string) => reference.cases.find((each) => each.name === name)!;
const sorted = (ids: readonly number[]) => [...ids].sort((a, b) => a - b);

describe('the tokenizer of a GGUF file', () => {
  it.each(reference.cases.map((each) => [each.name, each] as const))(
    "gives llama.cpp's tokens: %s",
    (_name, each) => {
      const { files, stopIds } = tokenizerFromGguf(metadataOf(each));
      const tokenizer = Tokenizer.fromJSON(files!.tokenizer, files!.config);
      for (const [text, ids] of textsOf(each)) {
        expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify(text)).toEqual(ids);
        // Byte tokens too: the text comes back, but for the space that SentencePiece puts before it.
        if (!ids.some((id) => tokenizer.isSpecial(id)) && !text.startsWith('  ')) {
          expect(tokenizer.decode(ids)).toBe(text);
        }
      }
      const added = tokenizer.toJSON().added_tokens;
      const kind = (special: boolean) =>
        added.filter((token) => token.special === special).map(({ id }) => id);
      expect(sorted(kind(true))).toEqual(sorted([...each.control, ...each.unknown]));
      expect(kind(false)).toEqual(each.userDefined.filter((id) => !each.control.includes(id)));
      // Where a byte-level file names no end, llama.cpp takes the token 11, whatever that is; Ropewalk none.
      const noEnd = each.vocabulary !== 'spm' && each.metadata.eos_token_id === undefined;
      expect(sorted(stopIds)).toEqual(each.ends.filter((id) => !(noEnd && id === 11)));
    },
  );

  it('marks tokens that are special only by name as special when a model is written', () => {
    const { files } = tokenizerFromGguf(metadataOf(named('vocabulary of gpt-2')));
    const json = structuredClone(files!.tokenizer) as {
      model: { vocab: Record<string, number> };
      added_tokens: Record<string, unknown>[];
    };
    const size = Object.keys(json.model.vocab).length;
    json.model.vocab['<|im_end|>'] = size;
    json.model.vocab['</s>'] = size + 1;
    const entries = entriesFromTokenizer(
      { tokenizer: json, config: { eos_token: '</s>' } },
      { vocabSize: size + 2, bosId: null, padId: null, stopIds: [size + 1] },
      'm',
    );
    expect(entries.notes).toEqual([
      'llama.cpp also ends texts at these tokens, because of their names: "<|im_end|>".',
      'llama.cpp treats these as special tokens, because of their names: "<|im_end|>", "</s>".',
    ]);
  });
});

describe('a GGUF file with incomplete tokenizer metadata', () => {
  const warningsOf = (name: string) => tokenizerFromGguf(metadataOf(named(name))).warnings;

  it('is read with a warning', () => {
    expect(warningsOf('no pre-tokenizer, and the vocabulary does not tell')[0]).toMatch(
      /^m\.gguf: .*"tokenizer\.ggml\.pre".*llama\.cpp's default.*DIFFERENT TOKENS THAN IN TRAINING/,
    );
    expect(warningsOf('no pre-tokenizer, and a small vocabulary')).toHaveLength(1);
    expect(warningsOf('SentencePiece-style without types')).toEqual([
      expect.stringContaining('"tokenizer.ggml.token_type"'),
    ]);
    expect(warningsOf('padding is 4294967295, byte-level')).toEqual([
      'm.gguf: the key "tokenizer.ggml.padding_token_id" is 4294967295, but there are only 557 tokens; it is ignored.',
    ]);
    expect(warningsOf('words of gpt-2')).toEqual([]);
    expect(warningsOf('SentencePiece-style')).toEqual([]);
  });

  it.each(['gpt-2', 'smollm', 'llama-bpe', 'qwen2'])('is recognized as %s by its vocabulary', (name) => {
    expect(recognizePreTokenizer(reference.merges[name]!)).toBe(name);
    const each = named(`vocabulary of ${name}`);
    const { pre: _, ...metadata } = each.metadata;
    const { files, warnings } = tokenizerFromGguf(metadataOf({ ...each, metadata }));
    expect(warnings).toEqual([expect.stringContaining(`"${name}" is used`)]);
    const tokenizer = Tokenizer.fromJSON(files!.tokenizer, files!.config);
    for (const [text, ids] of textsOf(each)) expect(tokenizer.encode(text)).toEqual(ids);
  });
});

describe('the pre-tokenizer of a Korean model', () => {
  it.each([
    ['exaone', 'smollm'],
    ['exaone4', 'gpt-2'],
    ['trillion', 'gpt-2'],
    ['a.x-4.0', 'gpt-2'],
    ['midm-2.0', 'llama-bpe'],
    ['kanana2', 'gpt-4o'],
    ['kormo', 'qwen2'],
    ['solar-open', 'qwen2'],
  ])('%s is written under a name that splits words the same way', (name, written) => {
    const pre = preTokenizerOf(name)!;
    expect(preTokenizerName(pre.json(false), pre.ignoresMerges)).toBe(written);
    const each = named(`words of ${name}`);
    const { files } = tokenizerFromGguf(metadataOf(each));
    const size = Object.keys((files!.tokenizer as { model: { vocab: object } }).model.vocab).length;
    const facts = { vocabSize: size, bosId: null, padId: null, stopIds: [0] };
    const { entries } = entriesFromTokenizer(files!, facts, 'm');
    const values = new Map<string, GgufValue>(entries.map(([key, , value]) => [key, value as GgufValue]));
    expect(values.get('tokenizer.ggml.pre')).toBe(written);
    values.set('general.architecture', 'llama');
    const file = { name: 'm.gguf', version: 3, tensors: new Map(), close: async () => {}, metadata: values };
    const back = tokenizerFromGguf(new GgufMetadata(file)).files!;
    const tokenizer = Tokenizer.fromJSON(back.tokenizer, back.config);
    for (const [text, ids] of textsOf(each)) {
      expect(tokenizer.encode(text, { addSpecialTokens: false }), text).toEqual(ids);
    }
  });

  it('is recognized in other spellings', () => {
    const pattern = {
      Regex: JSON.stringify(preTokenizerOf('kanana2')!.json(false)).match(/"Regex":("(?:[^"\\]|\\.)*")/)![1]!,
    };
    const removed = {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: { Regex: JSON.parse(pattern.Regex) as string },
          behavior: 'Removed',
          invert: true,
        },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    };
    expect(preTokenizerName(removed, false)).toBe('gpt-4o');
    const digits = { type: 'Split', pattern: { Regex: '\\p{N}' }, behavior: 'Removed', invert: true };
    const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: true };
    expect(preTokenizerName({ type: 'Sequence', pretokenizers: [digits, bytes] }, false)).toBeUndefined();
  });
});
