import { RopewalkError } from '../../../errors.ts';
import {
  BYTE,
  CONTROL,
  NORMAL,
  UNKNOWN,
  UNUSED,
  USER_DEFINED,
} from '../../../tokenizer/older/token-types.ts';
import { Tokenizer } from '../../../tokenizer/tokenizer.ts';
import {
  isObject,
  type JsonObject,
  type TokenizerJson,
  tokenContent,
} from '../../../tokenizer/tokenizer-schema.ts';
import type { TokenizerFiles } from '../../checkpoint.ts';
import { quote } from '../../safetensors/header.ts';
import type { GgufEntry } from '../writing/entries.ts';
import { few, flagNotes, meaningNotes } from './export-notes.ts';
import { preTokenizerName } from './pre-tokenizers.ts';
import { scoresFromMerges } from './scores.ts';
import { readSentencePiece } from './spm-style.ts';

/** Facts about tokens from the model's configuration. */
export interface TokenFacts {
  /** Rows of the embedding: llama.cpp requires as many tokens. */
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly padId: number | null;
  /** Ids that end a text. */
  readonly stopIds: readonly number[];
}

export interface TokenizerEntries {
  readonly entries: GgufEntry[];
  /** What llama.cpp does differently, each a sentence. */
  readonly notes: string[];
}

/** The keys for tokens that end a text, in the order of use. */
const STOPS = ['eos', 'eot', 'eom'];

/**
 * Converts a tokenizer.json to a GGUF file's metadata; the inverse of `tokenizerFromGguf`.
 *
 * @throws RopewalkError naming what llama.cpp cannot express: models other than BPE, pre-tokenizers without a name,
 *   special tokens other than bos and eos around a text.
 */
export function entriesFromTokenizer(
  files: TokenizerFiles,
  facts: TokenFacts,
  path: string,
): TokenizerEntries {
  const tokenizer = Tokenizer.fromJSON(files.tokenizer, files.config, `the tokenizer of ${path}`);
  const json = tokenizer.toJSON();
  const refused = (problem: string) =>
    new RopewalkError(
      `the tokenizer of ${path}: ${problem}; export the model as a Hugging Face directory or as ONNX.`,
    );
  if (json.model.type !== 'BPE') {
    throw refused(`GGUF supports BPE tokenizers, but this one is ${String(json.model.type)}`);
  }
  for (const field of ['dropout', 'continuing_subword_prefix', 'end_of_word_suffix']) {
    if (json.model[field]) throw refused(`llama.cpp has no "${field}" in a BPE model`);
  }
  const notes: string[] = [];
  const merges = mergesOf(json);
  const tokens = tokenList(json, facts.vocabSize, refused, notes);
  const sentencePiece = readSentencePiece(json);
  let own: GgufEntry[];
  if (sentencePiece) {
    if (json.model.ignore_merges === true) throw refused('llama.cpp never ignores merges for this kind');
    own = sentencePieceEntries(json, tokens, merges, refused, notes);
    own.push(['tokenizer.ggml.add_space_prefix', 'bool', sentencePiece.addsPrefix]);
    notes.push(...sentencePiece.notes);
  } else {
    own = byteLevelEntries(json, tokens, merges, refused, notes);
  }
  notes.push(...flagNotes(json));
  const special = specialEntries(tokenizer, json, facts, refused);
  notes.push(...meaningNotes(tokens, special, facts.stopIds));
  const entries = [...own, ...special, ...templates(files.config)];
  return { entries, notes };
}

/** Tokens by id, with their kinds. */
interface TokenList {
  readonly texts: string[];
  readonly types: Int32Array;
  readonly ids: ReadonlyMap<string, number>;
}

type Refuse = (problem: string) => RopewalkError;

function mergesOf({ model }: TokenizerJson): [string, string][] {
  return (model.merges as (string | [string, string])[]).map((merge) => {
    if (typeof merge !== 'string') return merge;
    const space = merge.indexOf(' ');
    return [merge.slice(0, space), merge.slice(space + 1)];
  });
}

function tokenList(json: TokenizerJson, size: number, refused: Refuse, notes: string[]): TokenList {
  const texts = new Array<string | undefined>(size);
  const types = new Int32Array(size).fill(NORMAL);
  const ids = new Map<string, number>();
  const place = (text: string, id: number) => {
    if (!Number.isInteger(id) || id < 0 || id >= size) {
      throw refused(`the token ${quote(text)} has the id ${id}, but the model has only ${size} tokens`);
    }
    if ((texts[id] ?? text) !== text || (ids.get(text) ?? id) !== id) {
      throw refused(`the token ${quote(text)} and the id ${id} do not map to each other uniquely`);
    }
    texts[id] = text;
    ids.set(text, id);
  };
  for (const [text, id] of Object.entries(json.model.vocab as Record<string, number>)) place(text, id);
  const beyond: string[] = [];
  for (const { content, id, special } of json.added_tokens) {
    if (id >= size && !ids.has(content)) {
      beyond.push(content);
      continue;
    }
    place(content, id);
    types[id] = special ? CONTROL : USER_DEFINED;
  }
  if (beyond.length > 0) {
    notes.push(`The model has ${size} tokens; further tokens of the tokenizer are omitted: ${few(beyond)}.`);
  }
  const unknown = tokenContent(json.model.unk_token);
  const unknownId = unknown === undefined ? undefined : ids.get(unknown);
  if (unknownId !== undefined) types[unknownId] = UNKNOWN;
  for (let id = 0; id < size; id++) {
    if (texts[id] !== undefined) continue;
    // Named like in llama.cpp's own converter.
    place(`[PAD${id}]`, id);
    types[id] = UNUSED;
  }
  return { texts: texts as string[], types, ids };
}

function byteLevelEntries(
  json: TokenizerJson,
  { texts, types }: TokenList,
  merges: readonly (readonly [string, string])[],
  refused: Refuse,
  notes: string[],
): GgufEntry[] {
  const name = preTokenizerName(json.pre_tokenizer, json.model.ignore_merges === true);
  if (name === undefined) {
    throw refused('llama.cpp has no known name for its pre-tokenizer ("pre_tokenizer")');
  }
  if (json.decoder?.type !== 'ByteLevel') throw refused('its "decoder" is not ByteLevel');
  if (json.normalizer) {
    if (json.normalizer.type !== 'NFC') {
      throw refused(`llama.cpp has no "normalizer" of the type ${quote(String(json.normalizer.type))}`);
    }
    notes.push('The tokenizer normalizes texts to NFC first; llama.cpp does not.');
  }
  return [
    ['tokenizer.ggml.model', 'string', 'gpt2'],
    ['tokenizer.ggml.pre', 'string', name],
    ['tokenizer.ggml.tokens', { array: 'string' }, texts],
    ['tokenizer.ggml.token_type', { array: 'i32' }, types],
    ['tokenizer.ggml.merges', { array: 'string' }, merges.map(([left, right]) => `${left} ${right}`)],
  ];
}

function sentencePieceEntries(
  json: TokenizerJson,
  { texts, types, ids }: TokenList,
  merges: readonly (readonly [string, string])[],
  refused: Refuse,
  notes: string[],
): GgufEntry[] {
  for (let byte = 0; byte < 256; byte++) {
    const text = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
    const id = ids.get(text);
    if (id !== undefined && json.model.byte_fallback === true) types[id] = BYTE;
    // Gemma's conversion has a tab in place of <0x09>, and llama.cpp accepts the character itself too.
    else if (byte >= 0x80 || !ids.has(String.fromCharCode(byte))) {
      throw refused(
        `llama.cpp needs a token for every byte ("byte_fallback"), but there is none for ${text}`,
      );
    }
  }
  // Tokens with ▁ can also be produced by merges; for tokens of the other kind, llama.cpp prints ▁ literally.
  texts.forEach((text, id) => {
    if (types[id] === USER_DEFINED && text.includes('▁')) types[id] = NORMAL;
  });
  const apart = new Set(json.added_tokens.map(({ id }) => id));
  const { scores, extraPairs } = scoresFromMerges(texts, merges, ids, (id) => apart.has(id));
  if (extraPairs > 0) {
    notes.push(
      `llama.cpp merges ${extraPairs} pairs of tokens that this tokenizer keeps apart: some texts may be tokenized differently there.`,
    );
  }
  return [
    ['tokenizer.ggml.model', 'string', 'llama'],
    ['tokenizer.ggml.pre', 'string', 'default'],
    ['tokenizer.ggml.tokens', { array: 'string' }, texts],
    ['tokenizer.ggml.scores', { array: 'f32' }, scores],
    ['tokenizer.ggml.token_type', { array: 'i32' }, types],
  ];
}

function specialEntries(
  tokenizer: Tokenizer,
  json: TokenizerJson,
  { bosId, padId, stopIds, vocabSize }: TokenFacts,
  refused: Refuse,
): GgufEntry[] {
  const { before, after } = tokenizer.idsAround;
  const bos = before[0] ?? tokenizer.bosId ?? bosId ?? undefined;
  const eos = after[0] ?? tokenizer.eosId ?? stopIds[0];
  if (before.length > 1 || after.length > 1) {
    throw refused('it adds more around a text than one token before and one after it ("post_processor")');
  }
  if (eos === undefined) {
    throw refused(
      'no token ends a text, and llama.cpp would choose one: set "eos_token" in tokenizer_config.json',
    );
  }
  const stops = [...new Set([eos, ...stopIds])];
  const named: [string, number | undefined][] = [
    ['bos', bos],
    ...STOPS.map((name, i): [string, number | undefined] => [name, stops[i]]),
    ['unknown', idOf(tokenizer, json.model.unk_token)],
    ['padding', idOf(tokenizer, tokenizer.config.pad_token) ?? padId ?? undefined],
  ];
  return [
    ...named.flatMap(([name, id]): GgufEntry[] => {
      if (id === undefined || (name === 'padding' && id >= vocabSize)) return [];
      if (id >= vocabSize)
        throw refused(`its ${name} token has the id ${id}, but the model has only ${vocabSize} tokens`);
      return [[`tokenizer.ggml.${name}_token_id`, 'u32', id]];
    }),
    ['tokenizer.ggml.add_bos_token', 'bool', before.length > 0],
    ['tokenizer.ggml.add_eos_token', 'bool', after.length > 0],
  ];
}

function idOf(tokenizer: Tokenizer, token: unknown): number | undefined {
  const content = tokenContent(token);
  return content === undefined ? undefined : tokenizer.tokenToId(content);
}

/** `chat_template` is a string, or a list of named templates, of which "default" is used. */
function templates({ chat_template: template }: JsonObject): GgufEntry[] {
  const key = 'tokenizer.chat_template';
  if (typeof template === 'string') return [[key, 'string', template]];
  if (!Array.isArray(template)) return [];
  const named = (template as unknown[]).flatMap((entry): [string, string][] =>
    isObject(entry) && typeof entry.name === 'string' && typeof entry.template === 'string'
      ? [[entry.name.replace(/[^\w-]/g, '_'), entry.template]]
      : [],
  );
  const others = named.filter(([name]) => name !== 'default');
  const names = others.map(([name]) => name);
  return [
    ...(others.length > 0 ? [['tokenizer.chat_templates', { array: 'string' }, names] as const] : []),
    ...named.map(([name, text]): GgufEntry => [name === 'default' ? key : `${key}.${name}`, 'string', text]),
  ];
}
