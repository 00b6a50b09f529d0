import {
  ByteLevelPreTokenizer,
  Tokenizer as HuggingFaceTokenizer,
  type PreTokenizer,
  SequencePreTokenizer,
} from '@huggingface/tokenizers';
import { RopewalkError } from '../errors.ts';
import { Detokenizer } from './detokenizer.ts';
import { SpecialTokenGuard, type TextSpan } from './plain-spans.ts';
import { concatenate, lenientDecoder, stripEnd, stripStart } from './stream.ts';
import {
  isObject,
  type JsonObject,
  parseTokenizerJson,
  type TokenizerJson,
  tokenContent,
} from './tokenizer-schema.ts';
import { WordEncoder } from './word-encoder.ts';

/** The names that the published families give to the first and the last token of a text. */
const KNOWN_BOS = ['<|begin_of_text|>', '<bos>', '<s>', '<|endoftext|>'];
const KNOWN_EOS = ['<|end_of_text|>', '<eos>', '</s>', '<|endoftext|>'];

/**
 * GPT-2's pre-tokenizer. The library writes `\s`, which in JavaScript has U+FEFF and lacks U+0085; the
 * original (Rust's `regex`) means the Unicode property White_Space.
 */
const GPT2_PATTERN =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/**
 * A tokenizer from Hugging Face's tokenizer.json: the same ids as the `tokenizers` library.
 *
 * Decoding is ours, so that streams and whole texts agree; it gives Hugging Face's text wherever the bytes
 * are valid UTF-8. For invalid bytes under SentencePiece's byte fallback Hugging Face replaces every byte of
 * the run by U+FFFD, also those of good characters beside the bad one; here only the bad ones are replaced.
 * `clean_up_tokenization_spaces` is never applied: it changes the text that was encoded.
 */
export class Tokenizer {
  /** The size of the embedding that these ids need: the highest id plus one, added tokens included. */
  readonly vocabSize: number;
  /** The id that begins a text, when tokenizer_config.json or a known name tells it. */
  readonly bosId: number | undefined;
  /** The id that ends a text, when tokenizer_config.json or a known name tells it. */
  readonly eosId: number | undefined;
  /** The tokenizer_config.json that came with it, or {}. */
  readonly config: JsonObject;
  /** How a token becomes bytes; `StreamDecoder` uses it. */
  readonly detokenizer: Detokenizer;
  readonly #json: TokenizerJson;
  readonly #library: HuggingFaceTokenizer;
  readonly #source: string;
  readonly #specialIds: ReadonlySet<number>;
  /** The fast path for BPE over independent words, and the ids that the post-processor puts around a text there. */
  readonly #words: WordEncoder | undefined;
  readonly #before: readonly number[] = [];
  readonly #after: readonly number[] = [];
  readonly #guard: SpecialTokenGuard;
  readonly #bytes: (Uint8Array | undefined)[] = [];

  private constructor(json: TokenizerJson, config: JsonObject, source: string) {
    this.#json = json;
    this.config = config;
    this.#source = source;
    this.detokenizer = new Detokenizer(json.decoder, source);
    this.#library = this.#trying(() => {
      const library = new HuggingFaceTokenizer(json, { ...config, clean_up_tokenization_spaces: false });
      repairPattern(library.pre_tokenizer);
      return library;
    });
    this.#words = this.#trying(() => WordEncoder.for(this.#library, json));
    if (this.#words) {
      [this.#before, this.#after] = this.#trying(() => {
        const [before, after] = addedAround(this.#library);
        return [checkKnown(before), checkKnown(after)];
      });
    }
    this.vocabSize = this.#trying(() => highestId(this.#library, source)) + 1;
    this.#specialIds = new Set(json.added_tokens.filter((token) => token.special).map((token) => token.id));
    this.#guard = new SpecialTokenGuard(json.added_tokens, unknownId(json, this.#library));
    this.bosId = this.#configured('bos_token', KNOWN_BOS);
    this.eosId = this.#configured('eos_token', KNOWN_EOS);
  }

  /**
   * @param tokenizerJson the parsed tokenizer.json
   * @param tokenizerConfig the parsed tokenizer_config.json, for bos_token and eos_token
   * @param source what error messages call it
   * @throws RopewalkError naming the field, for a file that is no tokenizer or of a type that does not run
   */
  static fromJSON(tokenizerJson: unknown, tokenizerConfig?: unknown, source = 'tokenizer.json'): Tokenizer {
    if (tokenizerConfig !== undefined && !isObject(tokenizerConfig)) {
      throw new RopewalkError(`${source}: the tokenizer configuration is not a JSON object`);
    }
    return new Tokenizer(parseTokenizerJson(tokenizerJson, source), tokenizerConfig ?? {}, source);
  }

  /**
   * @param options.addSpecialTokens whether to add what the post-processor adds (as a rule bos); default true.
   *   Special tokens that are written in the text are recognised either way.
   * @param options.plainSpans where special tokens are not recognised: the ranges `[start, end)` of UTF-16 positions, in
   *   order, of text that users wrote. A special token that reaches into one is text. Where there is none, the ids are
   *   those of the text without spans: merges cross the borders of a span.
   * @returns the token ids
   */
  encode(
    text: string,
    options: { addSpecialTokens?: boolean; plainSpans?: readonly TextSpan[] } = {},
  ): number[] {
    return this.#trying(() => this.#encode(text, options));
  }

  #encode(text: string, options: { addSpecialTokens?: boolean; plainSpans?: readonly TextSpan[] }): number[] {
    const { addSpecialTokens = true, plainSpans = [] } = options;
    if (plainSpans.length > 0) {
      const ids = this.#guard.encode(
        text,
        plainSpans,
        (whole) => this.encode(whole, { addSpecialTokens: false }),
        (section, index) => this.#encodeSection(section, index),
      );
      return addSpecialTokens ? [...this.idsAround.before, ...ids, ...this.idsAround.after] : ids;
    }
    if (this.#words) {
      const ids = this.#words.encode(text);
      return addSpecialTokens ? [...this.#before, ...ids, ...this.#after] : ids;
    }
    if (text === '' && !addSpecialTokens) return [];
    const { ids } = this.#library.encode(text, { add_special_tokens: addSpecialTokens });
    return checkKnown(ids);
  }

  /** The ids that `encode` puts before and after a text. */
  get idsAround(): { before: readonly number[]; after: readonly number[] } {
    const [before, after] = this.#words ? [this.#before, this.#after] : addedAround(this.#library);
    return { before, after };
  }

  /** A text between added tokens, of which it has none. */
  #encodeSection(text: string, index: number): number[] {
    if (this.#words) return this.#words.encodeText(text);
    const { normalizer, pre_tokenizer: preTokenizer, model } = this.#library;
    const normalized = normalizer?.(text) ?? text;
    if (normalized === '') return [];
    const words = preTokenizer?.(normalized, { section_index: index }) ?? [normalized];
    return checkKnown(model!(words).map((token) => this.#library.token_to_id(token)));
  }

  /**
   * @param ids token ids; those outside the vocabulary (a padded embedding has them) give no text
   * @param options.skipSpecialTokens leave special tokens out; default false, as in transformers
   * @returns the text; bytes that are not valid UTF-8 become U+FFFD
   */
  decode(ids: Iterable<number>, options: { skipSpecialTokens?: boolean } = {}): string {
    return this.#trying(() => this.#decode(ids, options));
  }

  #decode(ids: Iterable<number>, options: { skipSpecialTokens?: boolean }): string {
    const parts: Uint8Array[] = [];
    for (const id of ids) {
      if (options.skipSpecialTokens && this.isSpecial(id)) continue;
      const bytes = this.tokenBytes(id, parts.length === 0);
      if (bytes) parts.push(bytes);
    }
    const text = lenientDecoder.decode(concatenate(parts));
    const { strip } = this.detokenizer;
    return strip ? stripEnd(stripStart(text, strip), strip) : text;
  }

  /** The id of a token by its exact spelling in the vocabulary (`Ġthe`, `▁the`, `<s>`). */
  tokenToId(token: string): number | undefined {
    return this.#library.token_to_id(token);
  }

  /** The spelling in the vocabulary of an id. */
  idToToken(id: number): string | undefined {
    return this.#library.id_to_token(id);
  }

  /** Whether the id is a special token (bos, eos, a chat turn's mark …). */
  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  /** The bytes that a token adds to a text; undefined outside the vocabulary. `first`: nothing precedes it. */
  tokenBytes(id: number, first = false): Uint8Array | undefined {
    if (!first) {
      const known = this.#bytes[id];
      if (known) return known;
    }
    const token = this.idToToken(id);
    if (token === undefined) return undefined;
    const bytes = this.detokenizer.bytes(token, first);
    if (!first) this.#bytes[id] = bytes;
    return bytes;
  }

  /** The tokenizer.json object, to be saved with a model. */
  toJSON(): TokenizerJson {
    return this.#json;
  }

  /** The library takes a file at its word: what it then stumbles over is the file's fault, and said to be. */
  #trying<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof RopewalkError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new RopewalkError(
        `${this.#source}: this tokenizer does not work (${why}); use the original tokenizer.json of the model`,
        { cause: error },
      );
    }
  }

  #configured(field: string, known: readonly string[]): number | undefined {
    const named = tokenContent(this.config[field]);
    if (named !== undefined) return this.tokenToId(named);
    if (field in this.config) return undefined; // An explicit null says that there is none.
    for (const token of known) {
      const id = this.tokenToId(token);
      if (id !== undefined && this.isSpecial(id)) return id;
    }
    return undefined;
  }
}

/** The id of `unk_token`, by name in a BPE model, by `unk_id` in a Unigram model. */
function unknownId({ model }: TokenizerJson, library: HuggingFaceTokenizer): number | undefined {
  if (typeof model.unk_id === 'number') return model.unk_id;
  return typeof model.unk_token === 'string' ? library.token_to_id(model.unk_token) : undefined;
}

function checkKnown(ids: readonly (number | undefined)[]): number[] {
  for (const id of ids) {
    if (id !== undefined && !isTokenId(id)) throw new Error(`it gives the token id ${String(id)}`);
  }
  if (ids.some((id) => id === undefined)) {
    throw new RopewalkError(
      'The text has a character that this tokenizer has no token for, nor an unknown token.',
    );
  }
  return ids as number[];
}

/** Ids beyond this are no vocabulary's: an array for each of them would take gigabytes. */
const MAX_ID = 1 << 24;

function isTokenId(id: unknown): id is number {
  return typeof id === 'number' && Number.isInteger(id) && id >= 0 && id <= MAX_ID;
}

function highestId(library: HuggingFaceTokenizer, source: string): number {
  let highest = -1;
  for (const [token, id] of library.get_vocab()) {
    if (!isTokenId(id)) {
      throw new RopewalkError(
        `${source}: the token ${JSON.stringify(token).slice(0, 60)} has the id ${String(id)}`,
      );
    }
    highest = Math.max(highest, id);
  }
  return highest;
}

/** What the post-processor puts before and after a text, found by processing one mark. */
function addedAround(library: HuggingFaceTokenizer): [number[], number[]] {
  const mark = '\0';
  const { tokens } = library.post_processor?.([mark], null, true) ?? { tokens: [mark] };
  const ids = tokens.map((token) => library.token_to_id(token)!);
  const at = tokens.indexOf(mark);
  return [ids.slice(0, at), ids.slice(at + 1)];
}

function repairPattern(preTokenizer: PreTokenizer | null): void {
  if (preTokenizer instanceof SequencePreTokenizer) preTokenizer.tokenizers.forEach(repairPattern);
  else if (preTokenizer instanceof ByteLevelPreTokenizer) preTokenizer.pattern = GPT2_PATTERN;
}
