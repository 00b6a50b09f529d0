import { RopewalkError } from '../../errors.ts';
import { cutsOf } from '../older/token-cuts.ts';
import { pausingSteps } from '../pauses.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { WordTable } from '../word-table.ts';
import { checkExtendable, type ExtendableKind } from './extendable.ts';
import { joinsWithinWord } from './joins.ts';
import { CharacterSymbols, VIRTUAL } from './symbols.ts';

/** A token learned from a text. */
export interface LearnedToken {
  readonly id: number;
  /** Its spelling in the vocabulary. */
  readonly token: string;
  /** The ids that it replaces. */
  readonly pieces: readonly number[];
  /** How often its pieces were adjacent just before it was learned. */
  readonly frequency: number;
}

export interface LearnedTokens {
  readonly tokens: readonly LearnedToken[];
  /** Merges that follow those of the model. */
  readonly merges: readonly (readonly [left: string, right: string])[];
}

export interface LearnOptions {
  /** The number of tokens to learn. */
  readonly add: number;
  /** Texts whose ids must not change: tokens that would change them are not learned. */
  readonly keep?: Iterable<string>;
  /** Pairs that occur less often are not merged; default 2. */
  readonly minFrequency?: number;
  /** Called after every token. */
  readonly onProgress?: (learned: number, add: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Pieces of text between two pauses. */
const PIECES_BETWEEN_PAUSES = 10_000;

/**
 * Learns new tokens for a BPE model from texts: the texts are split by its pre-tokenizer and encoded with its merges;
 * from there, byte-pair encoding continues (Sennrich et al. 2016). The most frequent pair becomes a token; ties go to
 * the smallest left id, then right id.
 *
 * New merges come after all others, and none produces an existing token, so a text's ids change only where a new merge
 * applies. In a model with byte fallback, a character that is spelled in bytes can also become a token: it is chosen
 * if that saves at least as many tokens as the best merge.
 *
 * @throws RopewalkError for a tokenizer that cannot be extended, for texts without words, and if they offer fewer
 *   tokens
 */
export function learnTokens(
  tokenizer: Tokenizer,
  texts: Iterable<string>,
  { signal, ...options }: LearnOptions,
): Promise<LearnedTokens> {
  const kind = checkExtendable(tokenizer);
  const first = tokenizer.vocabSize;
  if (!Number.isInteger(options.add) || options.add < 1 || first + options.add > VIRTUAL) {
    throw new RopewalkError(
      `the number of tokens to add is ${options.add}; it must be a whole number from 1, and all ids below ${VIRTUAL}.`,
    );
  }
  return pausingSteps(new Learner(tokenizer, kind, options).learn(texts), signal);
}

class Learner {
  readonly #tokenizer: Tokenizer;
  readonly #kind: ExtendableKind;
  readonly #options: Omit<LearnOptions, 'signal'>;
  readonly #symbols: CharacterSymbols | undefined;
  readonly #learned: LearnedToken[] = [];
  readonly #merges: [string, string][] = [];
  /** New tokens by spelling. */
  readonly #ids = new Map<string, number>();
  /** Adjacent pairs, pieces and characters of the texts whose ids must not change. */
  readonly #keptPairs = new Set<string>();
  readonly #keptPieces = new Set<string>();
  readonly #keptCharacters = new Set<string>();

  constructor(tokenizer: Tokenizer, kind: ExtendableKind, options: Omit<LearnOptions, 'signal'>) {
    this.#tokenizer = tokenizer;
    this.#kind = kind;
    this.#options = options;
    this.#symbols = kind.isByteLevel ? undefined : new CharacterSymbols(tokenizer);
  }

  *learn(texts: Iterable<string>): Generator<undefined, LearnedTokens> {
    const { add, minFrequency = 2, onProgress } = this.#options;
    yield* this.#readKept();
    const counts = yield* this.#countPieces(texts);
    if (counts.size === 0)
      throw new RopewalkError('the text has no words to learn tokens from; give more text.');
    const wholePieces = new Map<string, number>();
    const words = new WordTable(this.#words(counts, wholePieces), (left, right) => this.#joins(left, right));
    const characters = this.#missingCharacters(minFrequency);
    while (this.#learned.length < add) {
      const pair = words.heap.pop();
      const character = characters[0];
      if (character && character.saved >= (pair?.count ?? 0)) {
        if (pair) words.heap.push(pair);
        characters.shift();
        const id = this.#addToken(character.character, character.bytes, character.count);
        words.rename(character.symbol, id, character.words);
      } else {
        if (!pair || pair.count < minFrequency) break;
        const { left, right, count } = pair;
        const spelled = this.#spelling(left) + this.#spelling(right);
        if (!this.#isAllowed(left, right, spelled)) continue;
        const id = this.#addToken(spelled, [...this.#pieces(left), ...this.#pieces(right)], count);
        this.#addMerge(words, left, right, id);
        if (!this.#kind.isByteLevel) this.#addOtherCuts(words, spelled, id);
        const index = wholePieces.get(spelled);
        if (index !== undefined) words.collapse(index, id);
      }
      onProgress?.(this.#learned.length, add);
      yield;
    }
    if (this.#learned.length < add) throw tooFew(this.#learned.length, add, minFrequency);
    return { tokens: this.#learned, merges: this.#merges };
  }

  *#countPieces(texts: Iterable<string>): Generator<undefined, Map<string, number>> {
    const counts = new Map<string, number>();
    let counted = 0;
    for (const text of texts) {
      this.#tokenizer.eachPiece(text, (piece) => {
        counts.set(piece, (counts.get(piece) ?? 0) + 1);
        counted++;
      });
      if (counted > PIECES_BETWEEN_PAUSES) {
        counted = 0;
        yield;
      }
    }
    return counts;
  }

  /**
   * Words as symbols, split where no merge can join. @param wholePieces for models that encode such pieces as one
   * token: their indices, by spelling
   */
  *#words(
    counts: ReadonlyMap<string, number>,
    wholePieces: Map<string, number>,
  ): Generator<readonly [number[], number]> {
    let index = 0;
    for (const [piece, count] of counts) {
      const ids = this.#tokenizer.pieceIds(piece);
      const symbols = this.#symbols?.symbols(ids) ?? ids;
      if (this.#kind.isByteLevel) {
        if (this.#kind.ignoresMerges) wholePieces.set(piece, index);
        index++;
        yield [symbols, count];
        continue;
      }
      for (const word of this.#split(symbols)) {
        this.#symbols!.count(word, index++, count);
        yield [word, count];
      }
    }
  }

  *#split(symbols: readonly number[]): Generator<number[]> {
    let start = 0;
    for (let i = 1; i <= symbols.length; i++) {
      if (i < symbols.length && this.#mayStandTogether(symbols[i - 1]!, symbols[i]!)) continue;
      yield symbols.slice(start, i);
      start = i;
    }
  }

  *#readKept(): Generator<undefined, void> {
    const counts = yield* this.#countPieces(this.#options.keep ?? []);
    for (const piece of counts.keys()) {
      const ids = this.#tokenizer.pieceIds(piece);
      const symbols = this.#symbols?.symbols(ids) ?? ids;
      if (this.#kind.ignoresMerges) this.#keptPieces.add(piece);
      symbols.forEach((symbol, i) => {
        if (i > 0) this.#keptPairs.add(`${symbols[i - 1]} ${symbol}`);
        if (symbol >= VIRTUAL) this.#keptCharacters.add(this.#spelling(symbol));
      });
    }
  }

  /** Characters that may become tokens, those that save the most tokens first. */
  #missingCharacters(minFrequency: number) {
    const characters = (this.#symbols?.missing ?? []).map((each, i) => ({
      ...each,
      symbol: VIRTUAL + i,
      saved: each.count * (each.bytes.length - 1),
    }));
    return characters
      .filter(
        ({ character, count, saved }) =>
          saved > 0 &&
          count >= minFrequency &&
          !this.#keptCharacters.has(character) &&
          !this.#isKnown(character),
      )
      .sort((a, b) => b.saved - a.saved || a.character.codePointAt(0)! - b.character.codePointAt(0)!);
  }

  #addToken(token: string, pieces: readonly number[], frequency: number): number {
    const id = this.#tokenizer.vocabSize + this.#learned.length;
    this.#learned.push({ id, token, pieces, frequency });
    this.#ids.set(token, id);
    return id;
  }

  #addMerge(words: WordTable, left: number, right: number, id: number): void {
    this.#merges.push([this.#spelling(left), this.#spelling(right)]);
    const pair = words.pair(left, right);
    if (pair) words.merge(pair, id);
  }

  /** SentencePiece joins every pair whose text is a token, however it was formed. */
  #addOtherCuts(words: WordTable, token: string, id: number): void {
    const vocab = { get: (text: string) => this.#ids.get(text) ?? this.#tokenizer.tokenToId(text) };
    const made = this.#merges.at(-1)!;
    for (const [left, right] of cutsOf(token, vocab)) {
      const [a, b] = [this.#spelling(left), this.#spelling(right)];
      if ((a === made[0] && b === made[1]) || !this.#isAllowedCut(left, right)) continue;
      this.#addMerge(words, left, right, id);
    }
  }

  #joins(left: number, right: number): boolean {
    if (left >= VIRTUAL || right >= VIRTUAL) return false;
    return this.#mayStandTogether(left, right);
  }

  /** Whether two symbols can be parts of one word. */
  #mayStandTogether(left: number, right: number): boolean {
    if (!this.#symbols) return true;
    if (this.#symbols.isByte(left) || this.#symbols.isByte(right)) return false;
    return joinsWithinWord(this.#spelling(left), this.#spelling(right));
  }

  #isAllowed(left: number, right: number, spelled: string): boolean {
    return !this.#isKnown(spelled) && !this.#keptPieces.has(spelled) && this.#isAllowedCut(left, right);
  }

  #isAllowedCut(left: number, right: number): boolean {
    return !this.#keptPairs.has(`${left} ${right}`);
  }

  #isKnown(token: string): boolean {
    return this.#tokenizer.tokenToId(token) !== undefined || this.#ids.has(token);
  }

  #spelling(symbol: number): string {
    if (symbol >= VIRTUAL) return this.#symbols!.missing[symbol - VIRTUAL]!.character;
    return this.#learned[symbol - this.#tokenizer.vocabSize]?.token ?? this.#tokenizer.idToToken(symbol)!;
  }

  #pieces(symbol: number): readonly number[] {
    return this.#learned[symbol - this.#tokenizer.vocabSize]?.pieces ?? [symbol];
  }
}

function tooFew(found: number, add: number, minFrequency: number): RopewalkError {
  const what = `which occur at least ${minFrequency} times`;
  return new RopewalkError(
    found === 0
      ? `the text offers no new token: no two neighboring tokens of a word, ${what}, can be merged; give more text.`
      : `the text offers ${found} new tokens, ${what}, not ${add}; add at most ${found}, or give more text.`,
  );
}
