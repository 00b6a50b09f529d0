import { BpeTables, modelWithTables } from '../../../tokenizer/tables/bpe-tables.ts';
import { MAX_MERGES, MergeList } from '../../../tokenizer/tables/merge-list.ts';
import { hashByte, type TokenTable, TokenTableBuilder } from '../../../tokenizer/tables/token-table.ts';
import type { PackedTexts } from '../texts.ts';

type Json = Record<string, unknown>;

const SPACE = 0x20;
const VERSION = new TextEncoder().encode('#version');

/** The tokens with their positions as ids; undefined if two are the same text. */
export function tokenTable({ bytes, starts, gap, length }: PackedTexts): TokenTable | undefined {
  const builder = new TokenTableBuilder(bytes.length - gap * length, length);
  for (let id = 0; id < length; id++) builder.add(bytes, starts[id]!, starts[id + 1]! - gap, id);
  return builder.build();
}

/**
 * The tables of these tokens and merges; undefined if a merge is not two tokens with one space between them.
 *
 * @param merges each two tokens with a space between them
 */
export function tablesOfMerges(vocabulary: TokenTable, merges: PackedTexts): BpeTables | undefined {
  const list = mergeList(vocabulary, merges);
  if (!list) return undefined;
  const { pairs, merged } = list;
  return new BpeTables({ vocabulary, pairs, merged, asTexts: true });
}

/** The field `model` of a tokenizer.json with these tables. */
export function bpeModel(fields: Json, tables: BpeTables): Json {
  return modelWithTables({ ...fields, vocab: null, merges: null }, tables);
}

/** The same with any merges: their reader says what is wrong, or leaves some of them out. */
export function plainBpeModel(fields: Json, vocabulary: TokenTable, merges: PackedTexts): Json {
  return { ...fields, vocab: plainVocabulary(vocabulary), merges: merges.texts() };
}

/** Without a prototype, so that a token may be named `__proto__`. */
function plainVocabulary(vocabulary: TokenTable): Json {
  const vocab = Object.create(null) as Json;
  for (const [token, id] of vocabulary.entries()) vocab[token] = id;
  return vocab;
}

/** The tokens of each merge; undefined if one is not two tokens with one space between them. */
function mergeList(
  vocabulary: TokenTable,
  { bytes, starts, gap, length }: PackedTexts,
): MergeList | undefined {
  if (length > MAX_MERGES) return undefined;
  const merges = new MergeList(vocabulary, length);
  for (let rank = 0; rank < length; rank++) {
    const start = starts[rank]!;
    const end = starts[rank + 1]! - gap;
    if (bytes[start] === VERSION[0] && VERSION.every((byte, i) => bytes[start + i] === byte))
      return undefined;
    let hash = 0;
    let middle = start;
    for (; middle < end && bytes[middle] !== SPACE; middle++) hash = hashByte(hash, bytes[middle]!);
    if (middle === end) return undefined;
    const left = vocabulary.find(bytes, start, middle, hash);
    hash = 0;
    for (let at = middle + 1; at < end; at++) {
      const byte = bytes[at]!;
      if (byte === SPACE) return undefined;
      hash = hashByte(hash, byte);
    }
    const right = vocabulary.find(bytes, middle + 1, end, hash);
    if (left < 0 || right < 0) return undefined;
    merges.add(left, right, bytes, start, middle, middle + 1, end);
  }
  return merges;
}
