import type { TokenizerFiles } from '../../checkpoint.ts';
import { quote } from '../../safetensors/header.ts';
import type { GgufMetadata } from '../reading/metadata.ts';
import { preTokenizerOf } from './pre-tokenizers.ts';
import { mergesFromScores } from './spm-merges.ts';
import { BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED } from './token-types.ts';

type Json = Record<string, unknown>;

/** Control tokens that end a reply in published models, where the metadata name only one of them. */
const ENDS = [
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end_of_text|>',
  '<|im_end|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '<|end|>',
];

/** Tokens of a SentencePiece-style vocabulary are cut at every place, so a hostile one must not be long. */
const MAX_TOKEN_LENGTH = 1024;

export interface GgufTokenizer {
  readonly files: TokenizerFiles | undefined;
  /** Every token that ends a text. */
  readonly stopIds: readonly number[];
}

/**
 * The tokenizer in a GGUF file's metadata as Hugging Face's tokenizer.json and tokenizer_config.json.
 *
 * @throws RopewalkError naming the key, and for kinds of tokenizers other than byte-level BPE ("gpt2") and
 *   SentencePiece-style BPE ("llama").
 */
export function tokenizerFromGguf(metadata: GgufMetadata): GgufTokenizer {
  if (!metadata.has('tokenizer.ggml.model')) return { files: undefined, stopIds: stopIds(metadata, [], []) };
  const kind = metadata.text('tokenizer.ggml.model');
  if (kind === 'none' || kind === 'no_vocab') return { files: undefined, stopIds: stopIds(metadata, [], []) };
  const tokens = metadata.texts('tokenizer.ggml.tokens');
  const types = tokenTypes(metadata, tokens.length);
  const common = { tokens, types, ids: vocabulary(metadata, tokens) };
  let tokenizer: Json;
  if (kind === 'gpt2') tokenizer = byteLevel(metadata, common);
  else if (kind === 'llama') tokenizer = sentencePiece(metadata, common);
  else {
    throw metadata.error(
      `its tokenizer is of the kind ${quote(kind)}; byte-level BPE ("gpt2") and SentencePiece-style BPE ("llama") are supported.`,
    );
  }
  const named = (key: string) => nameOf(metadata, key, tokens);
  const config: Json = {
    bos_token: named('tokenizer.ggml.bos_token_id'),
    eos_token: named('tokenizer.ggml.eos_token_id'),
    unk_token: named('tokenizer.ggml.unknown_token_id'),
    pad_token: named('tokenizer.ggml.padding_token_id'),
    clean_up_tokenization_spaces: false,
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...(metadata.has('tokenizer.chat_template') && {
      chat_template: metadata.text('tokenizer.chat_template'),
    }),
  };
  return { files: { tokenizer, config }, stopIds: stopIds(metadata, tokens, types) };
}

interface Common {
  readonly tokens: readonly string[];
  readonly types: ArrayLike<number>;
  /** Ids by text. */
  readonly ids: ReadonlyMap<string, number>;
}

function tokenTypes(metadata: GgufMetadata, count: number): ArrayLike<number> {
  if (!metadata.has('tokenizer.ggml.token_type')) return new Int32Array(count).fill(NORMAL);
  const types = metadata.numbers('tokenizer.ggml.token_type');
  if (types.length !== count)
    throw metadata.error(`it has ${count} tokens and ${types.length} kinds of tokens.`);
  return types;
}

function vocabulary(metadata: GgufMetadata, tokens: readonly string[]): ReadonlyMap<string, number> {
  const ids = new Map<string, number>();
  tokens.forEach((token, id) => {
    const other = ids.get(token);
    if (other !== undefined) throw metadata.error(`tokens ${other} and ${id} are the same text.`);
    ids.set(token, id);
  });
  return ids;
}

/** As JSON has it: without a prototype, so that a token may be called `__proto__`. */
function vocabJson(ids: ReadonlyMap<string, number>): Json {
  const vocab = Object.create(null) as Json;
  for (const [token, id] of ids) vocab[token] = id;
  return vocab;
}

/** Tokens that are found in a text as they are, before anything else happens to it. */
function addedTokens({ tokens, types }: Common, alsoUnknown: boolean): Json[] {
  return tokens.flatMap((content, id) => {
    const type = types[id];
    const special = type === CONTROL || (alsoUnknown && type === UNKNOWN);
    if (!special && type !== USER_DEFINED) return [];
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }];
  });
}

function byteLevel(metadata: GgufMetadata, common: Common): Json {
  const name = metadata.text('tokenizer.ggml.pre', 'gpt-2');
  const pre = preTokenizerOf(name);
  if (!pre) {
    throw metadata.error(
      `its pre-tokenizer ${quote(name)} is not known here; put the original tokenizer.json beside the model in a folder of safetensors.`,
    );
  }
  const prefix = metadata.flag('tokenizer.ggml.add_space_prefix', false);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(common, true),
    normalizer: null,
    pre_tokenizer: pre.json(prefix),
    post_processor: around(metadata, common, pre.addsBos),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre.ignoresMerges,
      vocab: vocabJson(common.ids),
      merges: metadata.texts('tokenizer.ggml.merges'),
    },
  };
}

function sentencePiece(metadata: GgufMetadata, common: Common): Json {
  const { tokens, types, ids } = common;
  const scores = metadata.numbers('tokenizer.ggml.scores');
  if (scores.length !== tokens.length)
    throw metadata.error(`it has ${tokens.length} tokens and ${scores.length} scores.`);
  const long = tokens.findIndex((token) => token.length > MAX_TOKEN_LENGTH);
  if (long >= 0) {
    throw metadata.error(
      `token ${long} has ${tokens[long]!.length} characters, more than ${MAX_TOKEN_LENGTH}.`,
    );
  }
  const prefix = metadata.flag('tokenizer.ggml.add_space_prefix', true);
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const pieces = [
    { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ];
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(common, true),
    normalizer: prefix
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, replace] }
      : replace,
    pre_tokenizer: null,
    post_processor: around(metadata, common, true),
    decoder: { type: 'Sequence', decoders: prefix ? [...pieces, strip] : pieces },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: nameOf(metadata, 'tokenizer.ggml.unknown_token_id', tokens) ?? '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: Array.prototype.some.call(types, (type: number) => type === BYTE),
      ignore_merges: false,
      vocab: vocabJson(ids),
      merges: mergesFromScores(tokens, types, scores, ids),
    },
  };
}

/** What stands before and after a text: bos and eos where the metadata ask for them. */
function around(metadata: GgufMetadata, { tokens }: Common, bosByDefault: boolean): Json | null {
  const piece = (key: string) => {
    const id = metadata.tokenId(key);
    const token = nameOf(metadata, key, tokens);
    return id === undefined || token === null ? undefined : { id, token };
  };
  const bos = metadata.flag('tokenizer.ggml.add_bos_token', bosByDefault)
    ? piece('tokenizer.ggml.bos_token_id')
    : undefined;
  const eos = metadata.flag('tokenizer.ggml.add_eos_token', false)
    ? piece('tokenizer.ggml.eos_token_id')
    : undefined;
  if (!bos && !eos) return null;
  const special = (each: { token: string }) => ({ SpecialToken: { id: each.token, type_id: 0 } });
  const sequence = (id: 'A' | 'B') => [
    ...(bos ? [special(bos)] : []),
    { Sequence: { id, type_id: 0 } },
    ...(eos ? [special(eos)] : []),
  ];
  const used = [bos, eos].filter((each) => each !== undefined);
  return {
    type: 'TemplateProcessing',
    single: sequence('A'),
    pair: [...sequence('A'), ...sequence('B')],
    special_tokens: Object.fromEntries(
      used.map(({ id, token }) => [token, { id: token, ids: [id], tokens: [token] }]),
    ),
  };
}

function nameOf(metadata: GgufMetadata, key: string, tokens: readonly string[]): string | null {
  const id = metadata.tokenId(key);
  if (id === undefined) return null;
  const token = tokens[id];
  if (token === undefined) throw metadata.wrong(key, `one of the ${tokens.length} tokens`);
  return token;
}

function stopIds(metadata: GgufMetadata, tokens: readonly string[], types: ArrayLike<number>): number[] {
  const named = ['eos', 'eot', 'eom'].map((kind) => metadata.tokenId(`tokenizer.ggml.${kind}_token_id`));
  const ids = new Set(named.filter((id) => id !== undefined));
  for (const token of ENDS) {
    const id = tokens.indexOf(token);
    if (id >= 0 && types[id] === CONTROL) ids.add(id);
  }
  return [...ids];
}
