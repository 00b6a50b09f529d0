import { tablesOf } from '../tables/bpe-tables.ts';
import { MAX_MERGES } from '../tables/merge-list.ts';
import { isText, type ModelFields, quoted } from './fields.ts';
import { RankTable } from './rank-table.ts';
import type { Vocabulary } from './vocabulary.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** The merges of a BPE model: which pairs of tokens become one, the lowest rank first. */
export class Merges {
  readonly #ranks: RankTable;
  readonly #merged: Int32Array;

  private constructor(
    /** The left and right token ids of each rank, including those overridden by a later merge of the same pair. */
    readonly pairs: Int32Array,
    merged: Int32Array,
    ranks: RankTable,
  ) {
    this.#merged = merged;
    this.#ranks = ranks;
  }

  /**
   * @param prefix `continuing_subword_prefix`: removed from the right part when it is joined
   * @throws RopewalkError naming a merge that is not a pair, or has a token that is not in the vocabulary
   */
  static read(fields: ModelFields, vocabulary: Vocabulary, prefix: string): Merges {
    const tables = tablesOf(fields.json);
    if (tables?.merged && prefix === '') return new Merges(tables.pairs, tables.merged, tables.ranks);
    return Merges.#parse(fields, vocabulary, prefix);
  }

  static #parse(fields: ModelFields, vocabulary: Vocabulary, prefix: string): Merges {
    const json = fields.array('merges');
    const texts = typeof json[0] === 'string';
    const merges = texts ? json.filter((text) => !isVersion(text)) : json;
    if (merges.length > MAX_MERGES) fields.fail('merges', `has more than ${MAX_MERGES} merges`);
    const pairs = new Int32Array(2 * merges.length);
    const merged = new Int32Array(merges.length);
    let last = -1;
    for (let rank = 0; rank < merges.length; rank++) {
      const [left, right] = texts ? splitPair(merges[rank]) : checkPair(merges[rank]);
      if (left === undefined || right === undefined) {
        fields.fail('merges', `has no pair of tokens at ${rank}: ${quoted(merges[rank])}`);
      }
      const idOf = (token: string): number =>
        vocabulary.id(token) ??
        fields.fail('merges', `needs at ${rank} the token ${quoted(token)}, which is not in the vocabulary`);
      pairs[2 * rank] = idOf(left);
      pairs[2 * rank + 1] = idOf(right);
      const tail = prefix === '' ? right : withoutPrefix(right, prefix);
      if (tail === undefined) {
        fields.fail('merges', `joins at ${rank} ${quoted(right)}, which is shorter than the prefix`);
      }
      // Usually the merged token has the next id, or that of the previous merge, so no lookup by text is needed.
      if (spells(vocabulary.token(last + 1), left, tail)) last++;
      else if (!spells(vocabulary.token(last), left, tail)) last = idOf(left + tail);
      merged[rank] = last;
    }
    return new Merges(pairs, merged, new RankTable(pairs));
  }

  /** The rank of a pair of tokens; -1 if it does not merge. */
  rank(left: number, right: number): number {
    return this.#ranks.get(left, right);
  }

  /** The id of the token that results from the merge of a rank. */
  merged(rank: number): number {
    return this.#merged[rank]!;
  }
}

/** The first line of a merges.txt, which old files copied into their merges. */
function isVersion(value: unknown): boolean {
  return typeof value === 'string' && value.startsWith('#version');
}

function splitPair(value: unknown): [string?, string?] {
  if (!isText(value)) return [];
  const at = value.indexOf(' ');
  if (at < 0 || value.includes(' ', at + 1)) return [];
  return [value.slice(0, at), value.slice(at + 1)];
}

function checkPair(value: unknown): [string?, string?] {
  if (!Array.isArray(value) || value.length !== 2) return [];
  const [left, right] = value;
  return isText(left) && isText(right) ? [left, right] : [];
}

/** Rust drops as many bytes as the prefix has, whatever they are; undefined if that splits a character. */
function withoutPrefix(token: string, prefix: string): string | undefined {
  if (token.startsWith(prefix)) return token.slice(prefix.length);
  const bytes = encoder.encode(token);
  const { length } = encoder.encode(prefix);
  if (bytes.length < length) return undefined;
  try {
    return decoder.decode(bytes.subarray(length));
  } catch {
    return undefined;
  }
}

function spells(token: string | undefined, left: string, right: string): boolean {
  return (
    token !== undefined &&
    token.length === left.length + right.length &&
    token.startsWith(left) &&
    token.endsWith(right)
  );
}
