import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { TokenConstraint } from './constraint.ts';
import { beforeValue } from './parser/machine.ts';
import { advance, cheapest, Done, leastCost, type Position } from './parser/position.ts';
import { InString } from './parser/scalars.ts';
import { addStringTokens, followers, setBit } from './parser/tokens.ts';
import { Vocabulary } from './parser/vocabulary.ts';
import { Grammar } from './schema/grammar.ts';
import type { JsonSchema } from './schema/keywords.ts';

export interface JsonConstraintOptions {
  /** The most tokens to generate: the JSON is complete within them. */
  readonly maxTokens: number;
  /** Tokens that end a text: allowed exactly when the JSON is complete. */
  readonly stopTokens?: readonly number[];
  /** Whether the JSON follows other text: some tokens have different bytes at the beginning of a text. */
  readonly continues?: boolean;
}

/** A JSON Schema compiled for a tokenizer; can be used for any number of texts. */
export interface CompiledJsonSchema {
  /** Enough tokens for the shortest text that fits the schema. */
  readonly shortest: number;
  /** @throws RopewalkError if `maxTokens` is less than `shortest`. */
  constraint(options: JsonConstraintOptions): TokenConstraint;
}

/** Limit on the tokens cached for positions across texts, so that a server's memory does not grow. */
const MOST_KEPT = 50_000;

/**
 * Compiles a JSON Schema (draft 2020-12) into a constraint on a tokenizer's tokens, so that each text is JSON and
 * valid against the schema:
 *
 * - A pushdown automaton made from the schema follows the text byte by byte; tokens are traversed as a trie, and the
 *   result for a position is cached. The tokens that stay inside a string are the same wherever the string is.
 * - The least number of tokens to the end is known at every position; a token that would need more than the remaining
 *   tokens is excluded. So the text is complete when the tokens run out.
 * - Properties come in the order of the schema; unlisted ones come last, and only if `additionalProperties` is given
 *   or no property is listed. At most one space, or a line break and 16 spaces, separate two tokens of JSON.
 * - Numbers are in plain notation with at most 15 digits.
 *
 * @param schema from `JSON.parse`.
 * @throws RopewalkError naming, by JSON pointer, what cannot be enforced, or saying that no value fits.
 */
export function compileJsonSchema(schema: JsonSchema, tokenizer: Tokenizer): CompiledJsonSchema {
  const vocabulary = Vocabulary.of(tokenizer);
  const grammar = new Grammar(schema, vocabulary);
  let served = 0;
  let done = new Done();
  let start = beforeValue(grammar.root, done);
  return {
    shortest: start.cost,
    constraint: ({ maxTokens, stopTokens = [], continues = false }) => {
      if (start.cost > maxTokens) {
        throw new RopewalkError(
          `the shortest JSON that fits the schema may need ${start.cost} tokens, but at most ${maxTokens} may be generated. Raise the limit.`,
        );
      }
      served += maxTokens;
      if (served > MOST_KEPT) {
        served = maxTokens;
        done = new Done();
        start = beforeValue(grammar.root, done);
      }
      return new JsonConstraint(vocabulary, start, done, maxTokens, stopTokens, !continues);
    },
  };
}

class JsonConstraint implements TokenConstraint {
  #positions: readonly Position[];
  #first: boolean;
  #ended = false;

  readonly #vocabulary: Vocabulary;
  readonly #done: Position;
  #remaining: number;
  readonly #stopTokens: readonly number[];

  constructor(
    vocabulary: Vocabulary,
    start: Position,
    done: Position,
    remaining: number,
    stopTokens: readonly number[],
    first: boolean,
  ) {
    this.#first = first;
    this.#vocabulary = vocabulary;
    this.#done = done;
    this.#remaining = remaining;
    this.#stopTokens = stopTokens;
    this.#positions = [start];
  }

  get #complete(): boolean {
    return this.#positions.includes(this.#done);
  }

  get finished(): boolean {
    if (this.#ended) return true;
    return (
      this.#complete &&
      (this.#positions.length === 1 || this.#stopTokens.length === 0 || this.#remaining === 0)
    );
  }

  mask(logits: Float32Array): void {
    const vocabulary = this.#vocabulary;
    const stopTokens = this.#stopTokens;
    const bits = new Uint32Array(Math.max(vocabulary.bitWords, Math.ceil(logits.length / 32)));
    const budget = this.#remaining - 1;
    for (const position of this.#positions) {
      if (position instanceof InString) addStringTokens(bits, position, budget, vocabulary);
      else {
        const { ids, costs } = followers(position, vocabulary);
        for (let i = 0; i < ids.length; i++) if (costs[i]! <= budget) setBit(bits, ids[i]!);
      }
    }
    if (this.#first) this.#correctStart(bits, budget);
    for (const id of stopTokens) {
      if (this.#complete) setBit(bits, id);
      else clearBit(bits, id);
    }
    apply(bits, logits);
  }

  accept(id: number): void {
    const ends = this.#stopTokens.includes(id);
    if (ends && this.#complete) {
      this.#ended = true;
      return;
    }
    const text = ends ? '' : (this.#vocabulary.text(id, this.#first) ?? '');
    const next = this.#after(text);
    if (text === '' || leastCost(next) > this.#remaining - 1) {
      throw new RopewalkError(`token ${id} does not continue JSON that fits the schema.`);
    }
    this.#positions = next;
    this.#remaining--;
    this.#first = false;
  }

  /** Positions after a text, one character per byte. */
  #after(text: string): readonly Position[] {
    const next = new Set<Position>();
    // One by one, as the masks were made: otherwise, with very many readings, others would be kept.
    for (const position of this.#positions) {
      let reached: readonly Position[] = [position];
      for (let i = 0; i < text.length && reached.length > 0; i++) {
        reached = advance(reached, text.charCodeAt(i));
      }
      for (const to of reached) next.add(to);
    }
    return cheapest([...next]);
  }

  /** Some tokens have different bytes at the beginning of a text. */
  #correctStart(bits: Uint32Array, budget: number): void {
    for (const [id, text] of this.#vocabulary.atStart) {
      clearBit(bits, id);
      if (text !== '' && leastCost(this.#after(text)) <= budget) setBit(bits, id);
    }
  }
}

function clearBit(bits: Uint32Array, id: number): void {
  bits[id >>> 5]! &= ~(1 << (id & 31));
}

/** Keeps only the logits of tokens whose bit is set. */
function apply(bits: Uint32Array, logits: Float32Array): void {
  const vocab = logits.length;
  let some = false;
  let finite = false;
  for (let word = 0, start = 0; start < vocab; word++, start += 32) {
    const set = bits[word]!;
    const end = Math.min(vocab, start + 32);
    if (set === 0) {
      logits.fill(Number.NEGATIVE_INFINITY, start, end);
      continue;
    }
    if (set === 0xffffffff && finite) continue;
    for (let id = start; id < end; id++) {
      if ((set >>> (id - start)) & 1) {
        some = true;
        finite ||= logits[id]! > Number.NEGATIVE_INFINITY;
      } else logits[id] = Number.NEGATIVE_INFINITY;
    }
  }
  if (!some)
    throw new RopewalkError('no token of this model can continue the JSON so that it fits the schema.');
  if (finite) return;
  // The model excludes everything that may follow: then all of it is equally likely.
  for (let id = 0; id < vocab; id++) if ((bits[id >>> 5]! >>> (id & 31)) & 1) logits[id] = 0;
}
