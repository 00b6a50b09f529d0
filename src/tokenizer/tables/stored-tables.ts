import { RankTable, rankSlots } from '../models/rank-table.ts';
import { BpeTables } from './bpe-tables.ts';
import type { TabledTokenizer } from './scan-tokenizer.ts';
import { slotCount, TokenTable } from './token-table.ts';

/** To be raised whenever the same vocabulary gives other arrays; `vocabularies.test.ts` notices that. */
export const TABLES_VERSION = 1;

/** Numbers before the arrays: whether merges are texts, then the bytes of each array. */
const HEAD = 16;

/**
 * A tokenizer as arrays of bytes, to be kept between starts. The first has the lengths of all.
 *
 * @returns undefined for one whose merges form a token that the vocabulary lacks
 */
export function storedTables({ text, tables }: TabledTokenizer): Uint8Array[] | undefined {
  const { vocabulary, pairs, merged, ranks, asTexts } = tables;
  if (!merged) return undefined;
  const { bytes, records, places, slots } = vocabulary.arrays;
  const numbers = [records, places, slots, pairs, merged, ranks.slots];
  const arrays = [new TextEncoder().encode(text), bytes, ...numbers.map(bytesOf)];
  const head = new Uint32Array(HEAD);
  head[0] = asTexts ? 1 : 0;
  head.set(
    arrays.map(({ length }) => length),
    1,
  );
  return [bytesOf(head), ...arrays];
}

/**
 * The tokenizer of these arrays.
 *
 * @param stored all of them in one, each at the next multiple of `alignment`, which is a multiple of 4
 * @returns undefined if the lengths do not fit
 */
export function tablesFromStored(stored: Uint8Array, alignment: number): TabledTokenizer | undefined {
  if (stored.length < 4 * HEAD || stored.byteOffset % 4 !== 0) return undefined;
  const numbersAt = (start: number, bytes: number) =>
    new Int32Array(stored.buffer, stored.byteOffset + start, bytes >> 2);
  const head = numbersAt(0, 4 * HEAD);
  const lengths = head.subarray(1, 9);
  const starts: number[] = [];
  let end = 4 * HEAD;
  for (const length of lengths) {
    const start = Math.ceil(end / alignment) * alignment;
    if (length < 0 || start + length > stored.length) return undefined;
    starts.push(start);
    end = start + length;
  }
  const bytesAt = (index: number) => stored.subarray(starts[index]!, starts[index]! + lengths[index]!);
  const [records, places, slots, pairs, merged, rankTable] = [2, 3, 4, 5, 6, 7].map((index) =>
    numbersAt(starts[index]!, lengths[index]!),
  ) as [Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array];
  const fits =
    records.length % 4 === 0 &&
    slots.length === slotCount(records.length >> 2) &&
    pairs.length === 2 * merged.length &&
    rankTable.length === rankSlots(merged.length) &&
    // A search ends at a free slot.
    slots.includes(0) &&
    rankTable.includes(0);
  if (!fits) return undefined;
  const vocabulary = new TokenTable({ bytes: bytesAt(1), records, places, slots });
  const tables = new BpeTables(
    { vocabulary, pairs, merged, asTexts: head[0] === 1 },
    new RankTable(pairs, rankTable),
  );
  return { text: new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytesAt(0)), tables };
}

function bytesOf({ buffer, byteOffset, byteLength }: Int32Array | Uint32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
