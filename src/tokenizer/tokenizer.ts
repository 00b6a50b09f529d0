import { RopewalkError } from '../errors.ts';
import { AddedTokens, type Section } from './added-tokens/added-tokens.ts';
import { Component, toWellFormed } from './component.ts';
import { Decoder, type Decoding } from './decoders/decoder.ts';
import { Detokenizer } from './detokenizer.ts';
import { createModel } from './models/index.ts';
import type { TokenModel } from './models/model.ts';
import { createNormalizer } from './normalizers/index.ts';
import { Pipeline } from './pipeline.ts';
import { SpecialTokenGuard, type TextSpan } from './plain-spans.ts';
import { createStages } from './pre-tokenizers/index.ts';
import { createSurroundings, type Surroundings } from './processors/index.ts';
import { tablesOf } from './tables/bpe-tables.ts';
import {
  isObject,
  type JsonObject,
  parseTokenizerJson,
  type TokenizerJson,
  tokenContent,
} from './tokenizer-schema.ts';

/** The names that published families give to the first and the last token of a text. */
const KNOWN_BOS = ['<|begin_of_text|>', '<bos>', '<s>', '<|endoftext|>'];
const KNOWN_EOS = ['<|end_of_text|>', '<eos>', '</s>', '<|endoftext|>'];

/**
 * A tokenizer from Hugging Face's tokenizer.json, with the ids and texts of the Rust library `tokenizers`.
 *
 * As in transformers, `truncation` and `padding` in the file are ignored: a text is encoded as a whole. Only bos and
 * eos are read from tokenizer_config.json: its fields for slow tokenizers do not apply with a tokenizer.json, and
 * `clean_up_tokenization_spaces` would change the text that was encoded.
 */
export class Tokenizer {
  /** The size of the embedding that these ids need: the highest id plus one, including added tokens. */
  readonly vocabSize: number;
  /** The id that begins a text, from tokenizer_config.json or a known name. */
  readonly bosId: number | undefined;
  /** The id that ends a text, from tokenizer_config.json or a known name. */
  readonly eosId: number | undefined;
  /** The id of the token for unknown text, if the model has one. */
  readonly unknownId: number | undefined;
  /** Its tokenizer_config.json, or {}. */
  readonly config: JsonObject;
  /** The bytes that each token adds to a text. */
  readonly detokenizer: Detokenizer;
  /** The ids that `encode` adds before and after a text. */
  readonly idsAround: Surroundings;
  readonly #json: TokenizerJson;
  readonly #model: TokenModel;
  readonly #added: AddedTokens;
  readonly #pipeline: Pipeline;
  readonly #decoder: Decoder;
  readonly #guard: SpecialTokenGuard;
  readonly #bytes: (Uint8Array | undefined)[] = [];

  private constructor(json: TokenizerJson, config: JsonObject, source: string) {
    this.#json = json;
    this.config = config;
    const component = (field: 'normalizer' | 'pre_tokenizer' | 'post_processor' | 'decoder') =>
      json[field] ? Component.of(json[field], field, source) : undefined;
    const normalizer = component('normalizer');
    const preTokenizer = component('pre_tokenizer');
    const decoder = component('decoder');
    this.#model = createModel(json.model, source);
    this.#pipeline = new Pipeline(
      normalizer && createNormalizer(normalizer),
      preTokenizer ? createStages(preTokenizer) : [],
      this.#model,
    );
    this.#added = new AddedTokens(
      json.added_tokens,
      this.#model,
      () => modelSize(json),
      this.#pipeline.normalizer,
      source,
    );
    this.idsAround = createSurroundings(component('post_processor'));
    this.#decoder = new Decoder(decoder);
    this.detokenizer = new Detokenizer(decoder);
    this.vocabSize = highestId(this.#model, this.#added) + 1;
    this.unknownId = unknownId(json, this);
    this.#guard = new SpecialTokenGuard(this.#added, this.#pipeline, this.unknownId);
    this.bosId = this.#configured('bos_token', KNOWN_BOS);
    this.eosId = this.#configured('eos_token', KNOWN_EOS);
  }

  /**
   * @param tokenizerJson the parsed tokenizer.json
   * @param tokenizerConfig the parsed tokenizer_config.json, for bos_token and eos_token
   * @param source the name in error messages
   * @throws RopewalkError naming the field, for an invalid or unsupported tokenizer
   */
  static fromJSON(tokenizerJson: unknown, tokenizerConfig?: unknown, source = 'tokenizer.json'): Tokenizer {
    if (tokenizerConfig !== undefined && !isObject(tokenizerConfig)) {
      throw new RopewalkError(`${source}: the tokenizer configuration is not a JSON object`);
    }
    return new Tokenizer(parseTokenizerJson(tokenizerJson, source), tokenizerConfig ?? {}, source);
  }

  /**
   * @param options.addSpecialTokens whether the post-processor adds special tokens (usually bos); default true.
   *   Special tokens spelled out in the text are recognized either way.
   * @param options.plainSpans ranges `[start, end)` of UTF-16 positions, in order, in which special tokens are not
   *   recognized, because users wrote the text. A special token that overlaps one is text. Apart from that, the ids
   *   are those of the text without spans: merges cross span boundaries.
   * @returns the token ids
   */
  encode(
    text: string,
    options: { addSpecialTokens?: boolean; plainSpans?: readonly TextSpan[] } = {},
  ): number[] {
    const { addSpecialTokens = true, plainSpans = [] } = options;
    const wellFormed = toWellFormed(text);
    const { before, after } = this.idsAround;
    const ids = addSpecialTokens ? [...before] : [];
    if (plainSpans.length === 0) this.#encode(wellFormed, ids);
    else {
      const guarded = this.#guard.encode(wellFormed, plainSpans, (whole) => {
        const all: number[] = [];
        this.#encode(whole, all);
        return all;
      });
      for (const id of guarded) ids.push(id);
    }
    if (addSpecialTokens) for (const id of after) ids.push(id);
    return ids;
  }

  /**
   * Calls `found` with each piece that the model turns into ids by itself, spelled as the model reads it (`Ġthe`).
   *
   * @param options.addedTokens whether added tokens are recognized, and skipped; default true
   */
  eachPiece(text: string, found: (piece: string) => void, { addedTokens = true } = {}): void {
    const wellFormed = toWellFormed(text);
    const split = (part: string, head: number) => this.#pipeline.split(part, head, found);
    if (addedTokens) this.#walk(wellFormed, () => {}, split);
    else split(this.#pipeline.normalize(wellFormed), this.#pipeline.head(wellFormed, true));
  }

  /** The ids of one of these pieces. */
  pieceIds(piece: string): number[] {
    return this.#pipeline.pieceIds(piece);
  }

  #encode(text: string, ids: number[]): void {
    this.#walk(
      text,
      (id) => ids.push(id),
      (part, head) => this.#pipeline.encode(part, head, ids),
    );
  }

  /** Visits the added tokens of a text by id, and the normalized text between them. */
  #walk(text: string, onToken: (id: number) => void, onText: (text: string, head: number) => void): void {
    for (const section of this.#added.splitWritten(text)) {
      if (section.token) onToken(section.token.id);
      else this.#walkSection(section, onToken, onText);
    }
  }

  /** Walks a section that contains no token as written. */
  #walkSection(
    { text, start }: Section,
    onToken: (id: number) => void,
    onText: (text: string, head: number) => void,
  ): void {
    const normalized = this.#pipeline.normalize(text);
    const head = start === 0 ? this.#pipeline.head(text, true) : 0;
    for (const part of this.#added.splitNormalized(normalized)) {
      if (part.token) onToken(part.token.id);
      else onText(part.text, head > part.start ? head - part.start : 0);
    }
  }

  /**
   * @param ids token ids; those outside the vocabulary (from a padded embedding) give no text
   * @param options.skipSpecialTokens leave special tokens out; default false, as in transformers
   * @returns the text; bytes that are not valid UTF-8 become U+FFFD
   */
  decode(ids: Iterable<number>, options: { skipSpecialTokens?: boolean } = {}): string {
    const decoding = this.startDecoding();
    for (const id of ids) {
      const spelling = this.decodedSpelling(id, options.skipSpecialTokens);
      if (spelling !== undefined) decoding.push(spelling);
    }
    return decoding.end();
  }

  /** Starts to decode a text token by token, each by its `decodedSpelling`. */
  startDecoding(): Decoding {
    return this.#decoder.start();
  }

  /** A token's spelling for the decoder (normalized, for an added token); undefined if the token is skipped. */
  decodedSpelling(id: number, skipSpecialTokens = false): string | undefined {
    const spelling = this.#added.decodedSpelling(id) ?? this.#model.idToToken(id);
    if (skipSpecialTokens && spelling !== undefined && this.#added.isSpecialSpelling(spelling))
      return undefined;
    return spelling;
  }

  /** The id of a token by its exact spelling in the vocabulary (`Ġthe`, `▁the`, `<s>`). */
  tokenToId(token: string): number | undefined {
    return this.#added.tokenToId(token) ?? this.#model.tokenToId(token);
  }

  /** The vocabulary spelling of an id. */
  idToToken(id: number): string | undefined {
    return this.#added.get(id)?.content ?? this.#model.idToToken(id);
  }

  /** Whether the id is a special token (bos, eos, a chat marker …). */
  isSpecial(id: number): boolean {
    return this.#added.get(id)?.special ?? false;
  }

  /**
   * The bytes that a token adds to a text; undefined outside the vocabulary, and if the decoder makes a token's text
   * depend on others. `first`: nothing precedes it.
   */
  tokenBytes(id: number, first = false): Uint8Array | undefined {
    if (!first) {
      const known = this.#bytes[id];
      if (known) return known;
    }
    const spelling = this.decodedSpelling(id);
    if (spelling === undefined) return undefined;
    const bytes = this.detokenizer.bytes(spelling, first);
    if (!first) this.#bytes[id] = bytes;
    return bytes;
  }

  /** The tokenizer.json object, to be saved with a model. */
  toJSON(): TokenizerJson {
    return this.#json;
  }

  #configured(field: string, known: readonly string[]): number | undefined {
    const named = tokenContent(this.config[field]);
    if (named !== undefined) return this.tokenToId(named);
    if (field in this.config) return undefined; // An explicit null means that there is none.
    for (const token of known) {
      const id = this.tokenToId(token);
      if (id !== undefined && this.isSpecial(id)) return id;
    }
    return undefined;
  }
}

/** The id of `unk_token` in a BPE model, or `unk_id` in a Unigram model. */
function unknownId({ model }: TokenizerJson, tokenizer: Tokenizer): number | undefined {
  if (typeof model.unk_token === 'string') return tokenizer.tokenToId(model.unk_token);
  return typeof model.unk_id === 'number' ? model.unk_id : undefined;
}

/** The number of tokens in a model's vocabulary. */
function modelSize({ model }: TokenizerJson): number {
  const tables = tablesOf(model);
  if (tables) return tables.vocabulary.size;
  const { vocab } = model;
  return Array.isArray(vocab) ? vocab.length : Object.keys(vocab as JsonObject).length;
}

function highestId(model: TokenModel, added: AddedTokens): number {
  let highest = model.highestId;
  for (const { id } of added.values()) if (id > highest) highest = id;
  return highest;
}
