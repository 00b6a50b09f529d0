import { RopewalkError } from '../../errors.ts';
import { BPE_FIELDS } from '../bpe-fields.ts';
import { Component } from '../component.ts';
import { createModel } from '../models/index.ts';
import { encodeBase64 } from '../normalizers/base64.ts';
import { createNormalizer } from '../normalizers/index.ts';
import { BpeTables, modelWithTables, tablesOf } from '../tables/bpe-tables.ts';
import { TokenTableBuilder } from '../tables/token-table.ts';
import type { JsonObject } from '../tokenizer-schema.ts';
import { addedToken, around } from './json-parts.ts';
import { readSentencePieceModel, type SentencePieceModel } from './sentencepiece-proto.ts';
import { pairsFromScores } from './spm-pairs.ts';
import { BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED } from './token-types.ts';

/** Tokens are cut at every position to find their merges, so a hostile one must not be long. */
const MAX_TOKEN_LENGTH = 1024;
/** SentencePiece's built-in normalization rules: NFKC, with small changes (nmt) or case folding (cf). */
const COMPOSING = ['nfkc', 'nmt_nfkc', 'nfkc_cf', 'nmt_nfkc_cf'];
/** A noncharacter, which does not occur in texts. */
const APART = '\ufdd0';
/** The form of byte tokens, which are not matched in texts: texts are cut inside them. */
const BYTE_CUT = '<(?=0x[0-9A-F]{2}>)';

/** A converted `tokenizer.model`, before tokenizer_config.json says what surrounds a text. */
export interface ConvertedModel {
  /** tokenizer.json without its `post_processor`. */
  readonly tokenizer: JsonObject;
  /** The tokens that the file names, by their fields in tokenizer_config.json. */
  readonly names: JsonObject;
}

/**
 * A SentencePiece `tokenizer.model` converted to tokenizer.json and tokenizer_config.json. The ids of a text are
 * those of the Python package `sentencepiece`, except that control tokens are recognized in texts, as everywhere
 * else.
 *
 * @param config tokenizer_config.json: its names of tokens, `add_bos_token` (true by default) and `add_eos_token`
 * @param source the file's name in messages
 * @throws RopewalkError for a damaged file, or one that tokenizer.json cannot express
 */
export function tokenizerFromSentencePiece(
  bytes: Uint8Array,
  config: JsonObject,
  source: string,
): { tokenizer: JsonObject; config: JsonObject } {
  return withConfig(convertModel(bytes, source), config);
}

/** The rest of the conversion. */
export function withConfig(
  { tokenizer, names }: ConvertedModel,
  config: JsonObject,
): { tokenizer: JsonObject; config: JsonObject } {
  const whole = { ...names, ...config };
  const processor = around(whole, idsOf(tokenizer.model as JsonObject), true);
  return { tokenizer: { ...tokenizer, post_processor: processor }, config: whole };
}

/** Looks up tokens of a converted model. */
function idsOf(model: JsonObject): Pick<ReadonlyMap<string, number>, 'get'> {
  const tables = tablesOf(model);
  if (tables) return { get: (text) => tables.vocabulary.id(text) };
  return new Map((model.vocab as [string, number][]).map(([text], id) => [text, id]));
}

/** The part of the conversion that takes long. @throws RopewalkError like {@link tokenizerFromSentencePiece} */
export function convertModel(bytes: Uint8Array, source: string): ConvertedModel {
  const model = readSentencePieceModel(bytes, source);
  check(model, source);
  const textOf = (id: number | undefined) => (id === undefined ? undefined : model.pieces[id]!.text);
  const named = {
    bos_token: textOf(model.bosId),
    eos_token: textOf(model.eosId),
    unk_token: textOf(model.unkId),
    pad_token: textOf(model.padId),
  };
  const names = Object.fromEntries(Object.entries(named).filter(([, text]) => text !== undefined));
  const symbols = model.pieces.filter(({ type }) => type === USER_DEFINED).map(({ text }) => text);
  const added = model.pieces.flatMap(({ text, type }, id) => {
    if (type === CONTROL || type === UNKNOWN) return [addedToken(id, text, true)];
    return type === USER_DEFINED && matchesAnywhere(model)
      ? [{ ...addedToken(id, text, false), normalized: true }]
      : [];
  });
  const isCut = model.kind === 'bpe' && symbols.length > 0 && !matchesAnywhere(model);
  const tables = model.kind === 'bpe' ? tablesOfPieces(model) : undefined;
  const tokenizer: JsonObject = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: normalizerOf(model),
    pre_tokenizer: isCut
      ? splitAt(symbols)
      : model.kind === 'unigram' && model.byteFallback
        ? splitBytes
        : null,
    post_processor: null,
    decoder: decoderOf(model),
    model: tables ? bpe(model, tables, isCut) : unigram(model),
  };
  checkSymbols(model, symbols, tokenizer, source);
  // A piece that is a token is encoded as that token, which is correct only if merges give the same result.
  if (isCut) checkPieces(model, bpe(model, tables!, false), source);
  return { tokenizer, names };
}

function check(model: SentencePieceModel, source: string): void {
  const refused = (what: string) =>
    new RopewalkError(
      `${source}: ${what}, which is not supported; use the model's tokenizer.json, or write one in Python ` +
        '(AutoTokenizer.from_pretrained(…).save_pretrained(…))',
    );
  if (model.kind === 'word' || model.kind === 'char') throw refused(`it has the type "${model.kind}"`);
  if (model.spaceIsSuffix) throw refused('it puts spaces after words (treat_whitespace_as_suffix)');
  if (!model.escapesSpaces) throw refused('it does not write spaces as ▁ (escape_whitespaces is off)');
  if (model.charsmap.length > 0 && !COMPOSING.includes(model.rules)) {
    throw refused(`it has its own normalization rules (${JSON.stringify(model.rules.slice(0, 40))})`);
  }
  if (!model.pieces.some(({ type }) => type === NORMAL)) throw refused('it has no text tokens');
  if (model.decodingCharsmap.length > 0) throw refused('it changes decoded texts (denormalizer_spec)');
  const texts = new Set<string>();
  for (const [id, { text, type }] of model.pieces.entries()) {
    if (texts.has(text)) throw refused(`token ${id}, ${JSON.stringify(text)}, appears twice`);
    texts.add(text);
    if (type === UNUSED) throw refused(`token ${id} has the type "unused"`);
    if (text.length > MAX_TOKEN_LENGTH)
      throw refused(`token ${id} has more than ${MAX_TOKEN_LENGTH} characters`);
  }
  if (model.pieces[model.unkId]!.type !== UNKNOWN)
    throw refused('its unknown token is not of the type "unknown"');
}

/** Whether user-defined symbols can be added tokens: only the step that marks spaces precedes them. */
function matchesAnywhere({
  kind,
  addsDummyPrefix,
  removesExtraSpaces,
  charsmap,
}: SentencePieceModel): boolean {
  return kind === 'bpe' && !addsDummyPrefix && !removesExtraSpaces && charsmap.length === 0;
}

const replace = (pattern: JsonObject, content: string) => ({ type: 'Replace', pattern, content });

function normalizerOf({ charsmap, addsDummyPrefix, removesExtraSpaces }: SentencePieceModel): JsonObject {
  const steps: JsonObject[] = [];
  if (charsmap.length > 0) {
    // The Rust library looks up rules by graphemes of at most 5 bytes, SentencePiece by the longest match: what the
    // former leaves decomposed (a Korean syllable in jamo, ｶ and its mark) is composed afterwards. Also, the library
    // applies the rule of a grapheme's first character to all of it, so marks are separated beforehand.
    steps.push(
      replace({ Regex: '(?=\\p{M})' }, APART),
      { type: 'Precompiled', precompiled_charsmap: encodeBase64(charsmap) },
      replace({ String: APART }, ''),
      { type: 'NFC' },
    );
  }
  if (removesExtraSpaces) {
    steps.push(replace({ Regex: '\\A +' }, ''), replace({ Regex: ' {2,}' }, ' '));
  }
  steps.push(replace({ String: ' ' }, '▁'));
  // Marks in the text are removed with the spaces at its end, as in SentencePiece.
  if (removesExtraSpaces) steps.push(replace({ Regex: '▁+\\z' }, ''));
  if (addsDummyPrefix) steps.push({ type: 'Prepend', prepend: '▁' });
  return steps.length === 1 ? steps[0]! : { type: 'Sequence', normalizers: steps };
}

/** Splits texts at user-defined symbols, the longest first. */
function splitAt(symbols: readonly string[]): JsonObject {
  const escaped = symbols
    .toSorted((a, b) => b.length - a.length)
    .map((text) => text.replace(/[\\^$.*+?()[\]{}|#&~\s-]/g, '\\$&'));
  return { type: 'Split', pattern: { Regex: escaped.join('|') }, behavior: 'Isolated', invert: false };
}

const splitBytes = {
  type: 'Split',
  pattern: { Regex: BYTE_CUT },
  behavior: 'MergedWithPrevious',
  invert: false,
};

function decoderOf({ byteFallback, addsDummyPrefix }: SentencePieceModel): JsonObject {
  return {
    type: 'Sequence',
    decoders: [
      replace({ String: '▁' }, ' '),
      ...(byteFallback ? [{ type: 'ByteFallback' }] : []),
      { type: 'Fuse' },
      ...(addsDummyPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
    ],
  };
}

/** The pieces and the merges that their scores stand for. */
function tablesOfPieces({ pieces }: SentencePieceModel): BpeTables {
  const builder = new TokenTableBuilder(8 * pieces.length, pieces.length);
  const encoder = new TextEncoder();
  for (const [id, { text }] of pieces.entries()) {
    const bytes = encoder.encode(text);
    builder.add(bytes, 0, bytes.length, id);
  }
  // All texts and ids differ.
  const vocabulary = builder.build()!;
  // Only tokens that merges can produce: neither bytes nor the unknown token.
  const types = pieces.map(({ type }) => (type === BYTE || type === UNKNOWN ? CONTROL : type));
  const scores = pieces.map(({ score }) => score);
  return new BpeTables({ vocabulary, ...pairsFromScores(vocabulary, types, scores), asTexts: false });
}

/**
 * @param isCut whether texts are cut at user-defined symbols: each is then a piece that is a token, which no merge
 *   produces
 */
function bpe(
  { pieces, unkId, byteFallback }: SentencePieceModel,
  tables: BpeTables,
  isCut: boolean,
): JsonObject {
  const fields = {
    ...BPE_FIELDS,
    unk_token: pieces[unkId]!.text,
    fuse_unk: true,
    byte_fallback: byteFallback,
    ignore_merges: isCut,
    vocab: null,
    merges: null,
  };
  return modelWithTables(fields, tables);
}

/**
 * User-defined symbols have SentencePiece's score: slightly less than that of as many of the best tokens as they have
 * bytes.
 */
function unigram({ pieces, unkId, byteFallback }: SentencePieceModel): JsonObject {
  const scores = pieces.filter(({ type }) => type === NORMAL).map(({ score }) => score);
  const highest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return {
    type: 'Unigram',
    unk_id: unkId,
    vocab: pieces.map(({ text, score, type }) => [
      text,
      type === USER_DEFINED ? new TextEncoder().encode(text).length * highest - 0.1 : score,
    ]),
    byte_fallback: byteFallback,
  };
}

/** Refuses user-defined symbols that would not be matched as in SentencePiece. */
function checkSymbols(
  { addsDummyPrefix }: SentencePieceModel,
  symbols: readonly string[],
  tokenizer: JsonObject,
  source: string,
): void {
  if (symbols.length === 0) return;
  const before = addsDummyPrefix ? '▁' : '';
  const normalizer = createNormalizer(Component.of(tokenizer.normalizer as JsonObject, 'normalizer', source));
  for (const symbol of symbols) {
    const text = normalizer.normalize(symbol);
    if (text !== before + symbol) {
      const what = `its user-defined symbol ${JSON.stringify(symbol)} is changed by its own normalization`;
      throw differs(what, source);
    }
  }
}

/** Refuses tokens of text that no merges produce. */
function checkPieces({ pieces }: SentencePieceModel, json: JsonObject, source: string): void {
  const model = createModel(json, source);
  for (const [id, { text, type }] of pieces.entries()) {
    if (type !== NORMAL) continue;
    const ids: number[] = [];
    model.encode(text, ids);
    if (ids.length !== 1 || ids[0] !== id)
      throw differs(`no merges make its token ${JSON.stringify(text)}`, source);
  }
}

function differs(what: string, source: string): RopewalkError {
  return new RopewalkError(
    `${source}: ${what}, so its ids would differ from SentencePiece's; use the model's tokenizer.json, or write one in ` +
      'Python (AutoTokenizer.from_pretrained(…).save_pretrained(…))',
  );
}
