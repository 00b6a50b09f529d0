import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { countSyllables, SCRIPTS, type Script, scriptOf } from '../tokenizer/unicode/scripts.ts';
import { incompleteTail } from '../tokenizer/utf8.ts';
import { ScriptCounter } from './script-counter.ts';

/** The composition of texts. */
export interface TextSize {
  /** In UTF-8. */
  readonly bytes: number;
  /** Code points. */
  readonly characters: number;
  /** Runs of characters that are not white space. */
  readonly words: number;
  /** Hangul syllables. */
  readonly syllables: number;
  /** Characters by script. */
  readonly scripts: Readonly<Record<Script, number>>;
}

/** A word and its cost. */
export interface WordCost {
  /** Without surrounding punctuation. */
  readonly word: string;
  readonly times: number;
  /** Tokens of the word after a space. */
  readonly tokens: number;
  readonly characters: number;
  /** Tokens that would be saved in the texts if the word were one token. */
  readonly excess: number;
}

/** The cost of texts in one tokenizer's tokens. */
export interface TokenCosts {
  readonly tokens: number;
  readonly tokensPerWord: number;
  readonly tokensPerCharacter: number;
  readonly tokensPerByte: number;
  /** Tokens of Hangul per syllable; null if the texts have none. */
  readonly tokensPerSyllable: number | null;
  /** Tokens by script, in total and per character; null if there are none. */
  readonly scripts: Readonly<
    Record<Script, { readonly tokens: number; readonly tokensPerCharacter: number | null }>
  >;
  /** Share of unknown tokens. */
  readonly unknown: number;
  /** Share of tokens for single bytes, from SentencePiece's byte fallback. */
  readonly byteFallback: number;
  /** Share of tokens that contain only part of a character. */
  readonly partial: number;
  /** The words with the largest excess, largest first. */
  readonly worst: readonly WordCost[];
}

const encoder = new TextEncoder();

/** Counts the composition of texts. */
export function textSize(texts: Iterable<string>): TextSize {
  const scripts = Object.fromEntries(SCRIPTS.map((script) => [script, 0])) as Record<Script, number>;
  const size = { bytes: 0, characters: 0, words: 0, syllables: 0, scripts };
  for (const text of texts) {
    size.bytes += encoder.encode(text).length;
    size.syllables += countSyllables(text);
    let inWord = false;
    for (const character of text) {
      const script = scriptOf(character.codePointAt(0)!);
      scripts[script]++;
      size.characters++;
      if (script !== 'space' && !inWord) size.words++;
      inWord = script !== 'space';
    }
  }
  return size;
}

export interface TokenCostsOptions {
  /** Number of worst words to list; default 10. */
  readonly words?: number;
}

/**
 * Counts the cost of texts in a tokenizer's tokens, without the special tokens around a text.
 *
 * @param size of the same texts
 */
export function tokenCosts(
  tokenizer: Tokenizer,
  texts: readonly string[],
  size: TextSize = textSize(texts),
  { words = 10 }: TokenCostsOptions = {},
): TokenCosts {
  const kinds = new TokenKinds(tokenizer);
  const scripts = new ScriptCounter();
  let tokens = 0;
  let unknown = 0;
  let byteFallback = 0;
  let partial = 0;
  for (const text of texts) {
    for (const id of tokenizer.encode(text, { addSpecialTokens: false })) {
      const kind = kinds.of(id);
      tokens++;
      if (kind.unknown) unknown++;
      if (kind.byteFallback) byteFallback++;
      if (kind.partial) partial++;
      scripts.push(kind.bytes);
    }
    scripts.flush();
  }
  const per = (count: number, of: number) => (of === 0 ? 0 : count / of);
  return {
    tokens,
    tokensPerWord: per(tokens, size.words),
    tokensPerCharacter: per(tokens, size.characters),
    tokensPerByte: per(tokens, size.bytes),
    tokensPerSyllable: size.syllables === 0 ? null : scripts.tokens.hangul / size.syllables,
    scripts: Object.fromEntries(
      SCRIPTS.map((script) => {
        const characters = size.scripts[script];
        const count = scripts.tokens[script];
        return [script, { tokens: count, tokensPerCharacter: characters === 0 ? null : count / characters }];
      }),
    ) as TokenCosts['scripts'],
    unknown: per(unknown, tokens),
    byteFallback: per(byteFallback, tokens),
    partial: per(partial, tokens),
    worst: worstWords(tokenizer, texts, words),
  };
}

interface TokenKind {
  /** The bytes that it adds to a text. */
  readonly bytes: Uint8Array;
  readonly unknown: boolean;
  readonly byteFallback: boolean;
  readonly partial: boolean;
}

/** The properties of each token, looked up once. */
class TokenKinds {
  readonly #tokenizer: Tokenizer;
  readonly #unknownId: number | undefined;
  readonly #fallsBack: boolean;
  readonly #known: (TokenKind | undefined)[] = [];

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
    this.#unknownId = tokenizer.unknownId;
    this.#fallsBack = tokenizer.toJSON().model.byte_fallback === true;
  }

  of(id: number): TokenKind {
    const known = this.#known[id] ?? this.#look(id);
    this.#known[id] = known;
    return known;
  }

  #look(id: number): TokenKind {
    const spelling = this.#tokenizer.idToToken(id) ?? '';
    const unknown = id === this.#unknownId;
    const bytes = unknown ? new Uint8Array(0) : (this.#tokenizer.tokenBytes(id) ?? encoder.encode(spelling));
    const byteFallback = this.#fallsBack && /^<0x[0-9A-F]{2}>$/.test(spelling);
    return { bytes, unknown, byteFallback, partial: !isWhole(bytes) };
  }
}

function isWhole(bytes: Uint8Array): boolean {
  if (incompleteTail(bytes) > 0) return false;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

const AROUND = /^[\p{P}\p{S}]+|[\p{P}\p{S}]+$/gu;
/** Precedes a word, so that it is encoded as within a text. */
const CONTEXT = 'a ';

function worstWords(tokenizer: Tokenizer, texts: readonly string[], count: number): WordCost[] {
  if (count === 0) return [];
  const times = new Map<string, number>();
  for (const text of texts) {
    for (const run of text.split(/\p{White_Space}+/u)) {
      const word = run.replace(AROUND, '');
      if (word !== '') times.set(word, (times.get(word) ?? 0) + 1);
    }
  }
  const lengthOf = (text: string) => tokenizer.encode(text, { addSpecialTokens: false }).length;
  const context = lengthOf(CONTEXT.trimEnd());
  const costs = [...times].map(([word, occurrences]): WordCost => {
    const tokens = Math.max(1, lengthOf(CONTEXT + word) - context);
    const characters = [...word].length;
    return { word, times: occurrences, tokens, characters, excess: occurrences * (tokens - 1) };
  });
  const byExcess = (a: WordCost, b: WordCost) =>
    b.excess - a.excess || b.tokens - a.tokens || (a.word < b.word ? -1 : 1);
  return costs
    .filter(({ excess }) => excess > 0)
    .sort(byExcess)
    .slice(0, count);
}
