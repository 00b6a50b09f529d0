import type { RopewalkError } from '../../../errors.ts';
import { BPE_FIELDS } from '../../../tokenizer/bpe-fields.ts';
import { pairsFromScores } from '../../../tokenizer/older/spm-pairs.ts';
import { CONTROL, NORMAL, UNKNOWN, USER_DEFINED } from '../../../tokenizer/older/token-types.ts';
import { BpeTables } from '../../../tokenizer/tables/bpe-tables.ts';
import type { TokenTable } from '../../../tokenizer/tables/token-table.ts';
import type { TokenizerFiles } from '../../checkpoint.ts';
import { quote } from '../../safetensors/header.ts';
import type { GgufMetadata } from '../reading/metadata.ts';
import type { PackedTexts } from '../texts.ts';
import { type PreTokenizer, preTokenizerOf } from './pre-tokenizers.ts';
import { recognizePreTokenizer } from './recognize.ts';
import { type SpecialIds, type SpecialName, specialIds } from './special-ids.ts';
import { bpeModel, plainBpeModel, tablesOfMerges, tokenTable } from './tables.ts';
import { tokenMeanings } from './token-meanings.ts';

type Json = Record<string, unknown>;

/** Tokens of a SentencePiece-style vocabulary are cut at every position, so a hostile one must not be long. */
const MAX_TOKEN_LENGTH = 1024;

export interface GgufTokenizer {
  readonly files: TokenizerFiles | undefined;
  /** Every token that ends a text. */
  readonly stopIds: readonly number[];
  /** The ids named in the metadata, if they are tokens. */
  readonly special: SpecialIds;
  /** What the metadata lack or state wrongly, each a sentence. */
  readonly warnings: readonly string[];
}

/**
 * Converts the tokenizer in a GGUF file's metadata to Hugging Face's tokenizer.json and tokenizer_config.json.
 *
 * @param vocabSize rows of the embedding, if the file has no tokenizer
 * @param kept the tables that were made of this vocabulary before
 * @throws RopewalkError naming the key, and for tokenizers other than byte-level BPE ("gpt2") and SentencePiece-style
 *   BPE ("llama").
 */
export function tokenizerFromGguf(metadata: GgufMetadata, vocabSize = 0, kept?: BpeTables): GgufTokenizer {
  const kind = metadata.text('tokenizer.ggml.model', 'none');
  if (kind === 'none' || kind === 'no_vocab') {
    const { ids: special, warnings } = specialIds(metadata, vocabSize);
    const stopIds = [special.eos, special.eot, special.eom].filter((id) => id !== undefined);
    return { files: undefined, stopIds: [...new Set(stopIds)], special, warnings };
  }
  if (kind !== 'gpt2' && kind !== 'llama') {
    throw metadata.error(
      `its tokenizer has the type ${quote(kind)}; byte-level BPE ("gpt2") and SentencePiece-style BPE ("llama") are supported.`,
    );
  }
  const tokens = metadata.packedTexts('tokenizer.ggml.tokens');
  const ids = kept?.vocabulary ?? tokenTable(tokens);
  if (!ids) throw sameTexts(metadata, tokens.texts());
  const { ids: special, warnings: wrongIds } = specialIds(metadata, tokens.length, kind === 'llama');
  const { types, stopIds } = tokenMeanings(
    tokenTypes(metadata, tokens.length),
    (text) => ids.id(text),
    special,
  );
  const warnings = [...wrongIds];
  if (!metadata.has(TYPES_KEY)) {
    warnings.push(
      `${metadata.name}: it does not list special tokens ("${TYPES_KEY}"); all tokens are read as text, except those that are known to end a text: convert the model to GGUF again.`,
    );
  }
  const common = { tokens, types, ids, kept, special, warnings };
  const tokenizer = kind === 'gpt2' ? byteLevel(metadata, common) : sentencePiece(metadata, common);
  const named = (name: SpecialName) => (special[name] === undefined ? null : tokens.text(special[name]));
  const config: Json = {
    bos_token: named('bos'),
    eos_token: named('eos'),
    unk_token: named('unknown'),
    pad_token: named('padding'),
    clean_up_tokenization_spaces: false,
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...chatTemplate(metadata),
  };
  return { files: { tokenizer, config }, stopIds, special, warnings };
}

/** The chat template, or a list if there are others: `tool_use`, `rag`. */
function chatTemplate(metadata: GgufMetadata): Json {
  const key = 'tokenizer.chat_template';
  const own = metadata.has(key) ? metadata.text(key) : undefined;
  const names = metadata.has(`${key}s`) ? [...new Set(metadata.texts(`${key}s`))] : [];
  const others = names
    .filter((name) => metadata.has(`${key}.${name}`))
    .map((name) => ({ name, template: metadata.text(`${key}.${name}`) }));
  if (others.length === 0) return own === undefined ? {} : { chat_template: own };
  const first = own === undefined ? [] : [{ name: 'default', template: own }];
  return { chat_template: [...first, ...others] };
}

interface Common {
  readonly tokens: PackedTexts;
  readonly types: ArrayLike<number>;
  /** Ids by text. */
  readonly ids: TokenTable;
  /** The tables that were made of this vocabulary before. */
  readonly kept: BpeTables | undefined;
  readonly special: SpecialIds;
  /** Receives warnings. */
  readonly warnings: string[];
}

const BYTE_TOKENS = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);
const TYPES_KEY = 'tokenizer.ggml.token_type';
const PRE_KEY = 'tokenizer.ggml.pre';

function tokenTypes(metadata: GgufMetadata, count: number): ArrayLike<number> {
  if (!metadata.has(TYPES_KEY)) return new Int32Array(count).fill(NORMAL);
  const types = metadata.numbers(TYPES_KEY);
  if (types.length !== count) throw metadata.error(`it has ${count} tokens but ${types.length} token types.`);
  return types;
}

/** The error for tokens of which two have the same text. */
function sameTexts(metadata: GgufMetadata, tokens: readonly string[]): RopewalkError {
  const ids = new Map<string, number>();
  const second = tokens.findIndex((token, id) => ids.size === ids.set(token, ids.get(token) ?? id).size);
  return metadata.error(`tokens ${ids.get(tokens[second]!)} and ${second} are the same text.`);
}

/** Tokens that are matched in a text before any other step. */
function addedTokens({ tokens, types }: Common, alsoUnknown: boolean): Json[] {
  const added: Json[] = [];
  for (let id = 0; id < tokens.length; id++) {
    const type = types[id];
    const special = type === CONTROL || (alsoUnknown && type === UNKNOWN);
    if (!special && type !== USER_DEFINED) continue;
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special };
    added.push({ id, content: tokens.text(id), ...flags });
  }
  return added;
}

function preTokenizer(metadata: GgufMetadata, merges: PackedTexts, warnings: string[]): PreTokenizer {
  if (metadata.has(PRE_KEY)) {
    const name = metadata.text(PRE_KEY);
    const pre = preTokenizerOf(name);
    if (pre) return pre;
    throw metadata.error(
      `its pre-tokenizer ${quote(name)} is not supported; use the safetensors version of the model, with its original tokenizer.json.`,
    );
  }
  const recognized = recognizePreTokenizer(merges.texts());
  warnings.push(
    recognized === undefined
      ? `${metadata.name}: it does not name its pre-tokenizer ("${PRE_KEY}"), and its vocabulary does not reveal it; llama.cpp's default is used. THE MODEL MAY SEE DIFFERENT TOKENS THAN IN TRAINING, which lowers its quality. Convert the model to GGUF again.`
      : `${metadata.name}: it does not name its pre-tokenizer ("${PRE_KEY}"); "${recognized}" is used, which fits its merges. Convert the model to GGUF again if that is wrong.`,
  );
  // Like llama.cpp, which adds bos before a text only for some of the names.
  return { ...preTokenizerOf(recognized ?? 'default')!, addsBos: false };
}

function byteLevel(metadata: GgufMetadata, common: Common): Json {
  const merges = metadata.packedTexts('tokenizer.ggml.merges');
  const pre = preTokenizer(metadata, merges, common.warnings);
  const prefix = metadata.flag('tokenizer.ggml.add_space_prefix', false);
  const tables = common.kept ?? tablesOfMerges(common.ids, merges);
  const fields = { ...BPE_FIELDS, ignore_merges: pre.ignoresMerges };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(common, true),
    normalizer: null,
    pre_tokenizer: pre.json(prefix),
    post_processor: around(metadata, common, pre.addsBos),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: tables ? bpeModel(fields, tables) : plainBpeModel(fields, common.ids, merges),
  };
}

function sentencePiece(metadata: GgufMetadata, common: Common): Json {
  const { tokens, types, ids } = common;
  const { unknown } = common.special;
  const scores = metadata.numbers('tokenizer.ggml.scores');
  if (scores.length !== tokens.length)
    throw metadata.error(`it has ${tokens.length} tokens but ${scores.length} scores.`);
  // What was made into tables had been checked.
  for (let id = 0; id < tokens.length && !common.kept; id++) {
    if (tokens.end(id) - tokens.starts[id]! <= MAX_TOKEN_LENGTH) continue;
    const { length } = tokens.text(id);
    if (length > MAX_TOKEN_LENGTH)
      throw metadata.error(`token ${id} has ${length} characters, more than ${MAX_TOKEN_LENGTH}.`);
  }
  const prefix = metadata.flag('tokenizer.ggml.add_space_prefix', true);
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const pieces = [
    { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ];
  const tables =
    common.kept ?? new BpeTables({ vocabulary: ids, ...pairsFromScores(ids, types, scores), asTexts: false });
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
    model: bpeModel(
      {
        ...BPE_FIELDS,
        unk_token: unknown === undefined ? '<unk>' : tokens.text(unknown),
        fuse_unk: true,
        // By their texts, as in llama.cpp: a file may lack the types.
        byte_fallback: BYTE_TOKENS.some((token) => ids.id(token) !== undefined),
      },
      tables,
    ),
  };
}

/** The special tokens around a text: bos and eos as the metadata request. */
function around(
  metadata: GgufMetadata,
  { tokens, special: ids }: Common,
  bosByDefault: boolean,
): Json | null {
  const piece = (id: number | undefined) => (id === undefined ? undefined : { id, token: tokens.text(id) });
  const bos = metadata.flag('tokenizer.ggml.add_bos_token', bosByDefault) ? piece(ids.bos) : undefined;
  const eos = metadata.flag('tokenizer.ggml.add_eos_token', false) ? piece(ids.eos) : undefined;
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
