import { tablesOf } from '../tables/bpe-tables.ts';
import { isCount, isText, type ModelFields, quoted } from './fields.ts';

/** The largest plausible id: an embedding would need that many rows. */
export const MAX_TOKEN_ID = (1 << 24) - 1;

/** Tokens and their ids, as stored by BPE, WordPiece and WordLevel: an object from token to id. */
export interface Vocabulary {
  readonly size: number;
  /** Whether no two tokens share an id. */
  readonly unique: boolean;
  /** The highest id; -1 if there are no tokens. */
  readonly highestId: number;
  id(token: string): number | undefined;
  /** The token of an id; the first in the file if several share it. */
  token(id: number): string | undefined;
  /** The code point with which the token of an id begins; 0 for the empty token. */
  firstCharacter(id: number): number;
  /** The code point with which the token of an id ends; 0 for the empty token. */
  lastCharacter(id: number): number;
  entries(): IterableIterator<[string, number]>;
}

/** @throws RopewalkError naming a token with an invalid id */
export function readVocabulary(fields: ModelFields): Vocabulary {
  return tablesOf(fields.json)?.vocabulary ?? ParsedVocabulary.read(fields);
}

/** A vocabulary from parsed JSON. */
class ParsedVocabulary implements Vocabulary {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #tokens: readonly (string | undefined)[];

  private constructor(
    ids: ReadonlyMap<string, number>,
    tokens: readonly (string | undefined)[],
    readonly unique: boolean,
    readonly highestId: number,
  ) {
    this.#ids = ids;
    this.#tokens = tokens;
  }

  static read(fields: ModelFields): ParsedVocabulary {
    const json = fields.object('vocab');
    const ids = new Map<string, number>();
    let highest = -1;
    for (const token in json) {
      const id = json[token];
      if (!isText(token)) fields.fail('vocab', `has a token with a lone surrogate: ${quoted(token)}`);
      if (!isCount(id) || id > MAX_TOKEN_ID) {
        fields.fail('vocab', `gives the token ${quoted(token)} the id ${quoted(id)}`);
      }
      ids.set(token, id);
      if (id > highest) highest = id;
    }
    // Sparse ids would make a mostly empty array; V8 stores an array that grows by leaps as a hash table.
    const tokens: (string | undefined)[] = highest < 2 * ids.size + 1024 ? new Array(highest + 1) : [];
    let unique = true;
    for (const [token, id] of ids) {
      if (tokens[id] === undefined) tokens[id] = token;
      else unique = false;
    }
    return new ParsedVocabulary(ids, tokens, unique, highest);
  }

  get size(): number {
    return this.#ids.size;
  }

  id(token: string): number | undefined {
    return this.#ids.get(token);
  }

  token(id: number): string | undefined {
    return this.#tokens[id];
  }

  firstCharacter(id: number): number {
    return this.#tokens[id]!.codePointAt(0) ?? 0;
  }

  lastCharacter(id: number): number {
    const text = this.#tokens[id]!;
    const last = text.charCodeAt(text.length - 1);
    return last >= 0xdc00 && last < 0xe000 ? text.codePointAt(text.length - 2)! : last || 0;
  }

  entries(): IterableIterator<[string, number]> {
    return this.#ids.entries();
  }
}
