import { expect, it } from 'vitest';
import { randomBpe } from '../../../test/helpers/random-tokenizers/bpe.ts';
import { Chooser } from '../../../test/helpers/random-tokenizers/chooser.ts';
import { scanTables } from './scan-tokenizer.ts';
import { storedTables, tablesFromStored } from './stored-tables.ts';

const ALIGNMENT = 64;

function joined(arrays: readonly Uint8Array[]): Uint8Array {
  const starts: number[] = [];
  let end = 0;
  for (const { length } of arrays) {
    starts.push(Math.ceil(end / ALIGNMENT) * ALIGNMENT);
    end = starts.at(-1)! + length;
  }
  const all = new Uint8Array(end);
  for (const [i, array] of arrays.entries()) all.set(array, starts[i]);
  return all;
}

const tabled = scanTables(new TextEncoder().encode(JSON.stringify(randomBpe(new Chooser(3)))), 0)!;
const arrays = storedTables(tabled)!;

it('restores the text and every array', () => {
  const { text, tables } = tablesFromStored(joined(arrays), ALIGNMENT)!;
  expect(text).toBe(tabled.text);
  const { vocabulary, pairs, merged, asTexts, ranks } = tabled.tables;
  expect(tables.vocabulary.arrays).toEqual(vocabulary.arrays);
  expect({ ...tables, vocabulary: 0 }).toEqual({ vocabulary: 0, pairs, merged, asTexts });
  expect(tables.ranks.slots).toEqual(ranks.slots);
});

it('refuses arrays of other lengths, and hash tables without a free slot', () => {
  const refuses = (changed: readonly Uint8Array[]) =>
    expect(tablesFromStored(joined(changed), ALIGNMENT)).toBeUndefined();
  for (let length = 1; length < 9; length++) {
    for (const by of [-4, 4, 1000, 2 ** 30, -(2 ** 31)]) {
      // The text, the bytes of tokens and the highest id may be of any size.
      if ([1, 2, 4].includes(length) && Math.abs(by) <= 1000) continue;
      const head = Uint8Array.from(arrays[0]!);
      new Int32Array(head.buffer)[length]! += by;
      refuses([head, ...arrays.slice(1)]);
    }
  }
  for (const slots of [5, 8]) refuses(arrays.map((array, i) => (i === slots ? array.map(() => 1) : array)));
  refuses([arrays[0]!]);
  expect(tablesFromStored(new Uint8Array(0), ALIGNMENT)).toBeUndefined();
});
