import { RopewalkError } from '../../errors.ts';
import { BPE_FIELDS } from '../bpe-fields.ts';
import { MAX_TOKEN_ID } from '../models/vocabulary.ts';
import { BpeTables, modelWithTables } from '../tables/bpe-tables.ts';
import { MAX_MERGES, MergeList } from '../tables/merge-list.ts';
import { TokenTableBuilder } from '../tables/token-table.ts';
import { encodeInto } from '../tables/utf8-bytes.ts';
import { type JsonObject, tokenContent } from '../tokenizer-schema.ts';
import { addedToken, around, vocabJson } from './json-parts.ts';

/** How transformers interprets `vocab.json` and `merges.txt`, by tokenizer class. */
interface Style {
  readonly normalizer: JsonObject | null;
  preTokenizer(addPrefixSpace: boolean): JsonObject;
  /** Default names of tokens, if no file gives them. */
  readonly named: Readonly<Record<string, string>>;
}

const END = '<|endoftext|>';
const byteLevel = (add_prefix_space: boolean, use_regex: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space,
  trim_offsets: true,
  use_regex,
});
/** Qwen's pre-tokenizer pattern: contractions, words, single digits, symbols, line ends, spaces. */
const QWEN_WORDS =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const GPT2: Style = {
  normalizer: null,
  preTokenizer: (prefix) => byteLevel(prefix, true),
  named: { bos_token: END, eos_token: END, unk_token: END },
};
const QWEN2: Style = {
  normalizer: { type: 'NFC' },
  preTokenizer: (prefix) => ({
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: QWEN_WORDS }, behavior: 'Isolated', invert: false },
      byteLevel(prefix, false),
    ],
  }),
  named: { eos_token: END, unk_token: END, pad_token: END },
};
/** By `tokenizer_class`, without a `Fast` suffix. */
const CLASSES: Readonly<Record<string, Style>> = { GPT2Tokenizer: GPT2, Qwen2Tokenizer: QWEN2 };
/** By config.json's `model_type`, if tokenizer_config.json names no class. */
const MODELS: Readonly<Record<string, Style>> = { gpt2: GPT2, qwen2: QWEN2, qwen3: QWEN2 };

/** What `vocab.json` and `merges.txt` contain. */
export interface ByteLevelVocabulary {
  readonly ids: Pick<ReadonlyMap<string, number>, 'get'>;
  /** The `vocab` and `merges` of a BPE model, with its other fields. */
  readonly model: JsonObject;
}

const FIELDS = { ...BPE_FIELDS, continuing_subword_prefix: '', end_of_word_suffix: '' };

/**
 * @param merges the text of merges.txt: one merge per line, usually after `#version: 0.2`
 * @param folder for messages
 * @throws RopewalkError naming the file and what is wrong with it
 */
export function readVocabularyFiles(vocab: JsonObject, merges: string, folder: string): ByteLevelVocabulary {
  const ids = new Map<string, number>();
  for (const [token, id] of Object.entries(vocab)) {
    if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0) {
      throw new RopewalkError(
        `${folder}/vocab.json: ${JSON.stringify(token.slice(0, 40))} has no id; use the model's original file`,
      );
    }
    ids.set(token, id);
  }
  // The characters for a space and a line end: a vocabulary of another kind has neither.
  if (!ids.has('Ġ') && !ids.has('Ċ')) {
    throw new RopewalkError(
      `${folder}/vocab.json: it is not byte-level like GPT-2's (it has no "Ġ", which represents a space); write a tokenizer.json in ` +
        'Python (AutoTokenizer.from_pretrained(…).save_pretrained(…))',
    );
  }
  const pairs = readMerges(merges, folder);
  const tables = tablesOfMerges(ids, pairs);
  // The reader of any merges says what is wrong with them.
  return tables
    ? vocabularyOfTables(tables)
    : { ids, model: { ...FIELDS, vocab: vocabJson(ids), merges: pairs } };
}

/** The same of the tables that were made of these files. */
export function vocabularyOfTables(tables: BpeTables): ByteLevelVocabulary {
  const { vocabulary } = tables;
  return {
    ids: { get: (text) => vocabulary.id(text) },
    model: modelWithTables({ ...FIELDS, vocab: null, merges: null }, tables),
  };
}

/** Tokens and merges as tables; undefined where these have no place for them. */
function tablesOfMerges(
  ids: ReadonlyMap<string, number>,
  merges: readonly (readonly [string, string])[],
): BpeTables | undefined {
  const builder = new TokenTableBuilder(8 * ids.size, ids.size);
  let bytes = new Uint8Array(1024);
  for (const [token, id] of ids) {
    if (3 * token.length > bytes.length) bytes = new Uint8Array(6 * token.length);
    const end = encodeInto(token, bytes);
    if (end < 0 || id > MAX_TOKEN_ID) return undefined;
    builder.add(bytes, 0, end, id);
  }
  const vocabulary = builder.build();
  if (!vocabulary || merges.length > MAX_MERGES) return undefined;
  const list = new MergeList(vocabulary, merges.length);
  for (const [left, right] of merges) {
    const [leftId, rightId] = [ids.get(left), ids.get(right)];
    if (leftId === undefined || rightId === undefined) return undefined;
    list.add(leftId, rightId);
  }
  const { pairs, merged } = list;
  return merged && new BpeTables({ vocabulary, pairs, merged, asTexts: false });
}

/**
 * `vocab.json` and `merges.txt` converted to tokenizer.json and tokenizer_config.json, as by transformers 5.18.
 *
 * @param vocabulary what they contain
 * @param modelType config.json's `model_type`, which determines the class if tokenizer_config.json does not
 * @param folder for messages
 * @throws RopewalkError for tokenizers of other classes
 */
export function tokenizerFromVocabulary(
  { ids, model }: ByteLevelVocabulary,
  { config, modelType, folder }: { config: JsonObject; modelType: unknown; folder: string },
): { tokenizer: JsonObject; config: JsonObject } {
  const style = styleOf(config.tokenizer_class, modelType, folder);
  const whole = { ...namesOf(style, config, ids), ...config };
  const special = new Set(
    ['bos_token', 'eos_token', 'unk_token', 'pad_token'].map((field) => tokenContent(whole[field])),
  );
  return {
    config: whole,
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [...special]
        .flatMap((text) => {
          const id = text === undefined ? undefined : ids.get(text);
          return id === undefined ? [] : [addedToken(id, text!, true)];
        })
        .sort((a, b) => a.id - b.id),
      normalizer: style.normalizer,
      pre_tokenizer: style.preTokenizer(config.add_prefix_space === true),
      post_processor: around(whole, ids, false),
      decoder: byteLevel(true, true),
      model,
    },
  };
}

function styleOf(tokenizerClass: unknown, modelType: unknown, folder: string): Style {
  const name = typeof tokenizerClass === 'string' ? tokenizerClass.replace(/Fast$/, '') : undefined;
  const generic = name === undefined || name === 'PreTrainedTokenizer' || name === 'TokenizersBackend';
  if (!generic && Object.hasOwn(CLASSES, name)) return CLASSES[name]!;
  const type = typeof modelType === 'string' ? modelType : 'gpt2';
  if (generic && Object.hasOwn(MODELS, type)) return MODELS[type]!;
  const what = generic
    ? `of a model of the type ${JSON.stringify(type)}`
    : `of the class ${JSON.stringify(name)}`;
  throw new RopewalkError(
    `${folder}: its vocab.json and merges.txt are ${what}, for which Ropewalk reads only tokenizer.json; write one in ` +
      'Python (AutoTokenizer.from_pretrained(…).save_pretrained(…))',
  );
}

/** The named tokens of the class that are in the vocabulary. */
function namesOf({ named }: Style, config: JsonObject, ids: ByteLevelVocabulary['ids']): JsonObject {
  return Object.fromEntries(
    Object.entries(named).filter(
      ([field, text]) => config[field] === undefined && ids.get(text) !== undefined,
    ),
  );
}

function readMerges(text: string, folder: string): [string, string][] {
  const merges: [string, string][] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const merge = line.endsWith('\r') ? line.slice(0, -1) : line;
    if (merge === '' || merge.startsWith('#version')) continue;
    const [left, right, ...more] = merge.split(' ');
    if (!left || !right || more.length > 0) {
      throw new RopewalkError(
        `${folder}/merges.txt: line ${index + 1} is not two tokens with a space between them; use the model's original file`,
      );
    }
    merges.push([left, right]);
  }
  return merges;
}
