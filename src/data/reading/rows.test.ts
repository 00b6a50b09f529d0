import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { csvRows } from './csv.ts';
import { jsonArray } from './json-array.ts';
import { type DataRow, jsonLines } from './rows.ts';

/** A text in pieces, cut at the given places. */
async function* inPieces(text: string, cuts: readonly number[]): AsyncGenerator<string> {
  const places = [...cuts.map((cut) => cut % (text.length + 1)), 0, text.length].sort((a, b) => a - b);
  for (let i = 1; i < places.length; i++) yield text.slice(places[i - 1], places[i]);
}

async function all(rows: AsyncIterable<DataRow>): Promise<DataRow[]> {
  const found: DataRow[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

const cuts = fc.array(fc.nat(500), { maxLength: 8 });
const value = fc.oneof(
  fc.string({
    unit: fc.constantFrom('a', '"', '\\', '\n', '\r', ',', '[', ']', '{', '}', '\t', '가', '😀', ' '),
  }),
  fc.jsonValue(),
);
const objects = fc.array(fc.dictionary(fc.string(), value, { maxKeys: 4 }), { maxLength: 6 });
const plain = (rows: readonly DataRow[]) => JSON.parse(JSON.stringify(rows.map(({ values }) => values)));

describe('the row readers', () => {
  it('read JSON lines as JSON.parse does, however the text is cut', async () => {
    await fc.assert(
      fc.asyncProperty(objects, cuts, fc.constantFrom('\n', '\r\n', '\n\n'), async (rows, places, end) => {
        const lines = rows.map((row) => JSON.stringify(row));
        const read = await all(jsonLines(inPieces(lines.join(end), places), 'f'));
        expect(plain(read)).toEqual(JSON.parse(`[${lines}]`));
        const step = end === '\n\n' ? 2 : 1;
        expect(read.map(({ where }) => where)).toEqual(rows.map((_, i) => `f:${1 + i * step}`));
      }),
    );
  });

  it('read JSON arrays as JSON.parse does, however they are spaced and cut', async () => {
    await fc.assert(
      fc.asyncProperty(objects, cuts, fc.constantFrom(0, 2, '\t'), async (rows, places, space) => {
        const text = JSON.stringify(rows, null, space);
        const read = await all(jsonArray(inPieces(`\n${text}\n`, places), 'f'));
        expect(plain(read)).toEqual(JSON.parse(text));
        // Each row says the line where it begins.
        const lines = `\n${text}`.split('\n');
        for (const { where } of read) {
          expect(lines[Number(where.slice(2)) - 1]).toContain('{');
        }
      }),
    );
  });

  it('refuse truncated JSON arrays, and never mistake one for another', async () => {
    await fc.assert(
      fc.asyncProperty(objects, fc.nat(), async (rows, at) => {
        const text = JSON.stringify(rows);
        const cut = text.slice(0, at % text.length);
        await expect(all(jsonArray(inPieces(cut, []), 'f'))).rejects.toThrow(/^f:1: the file/);
      }),
    );
  });

  it('read CSV as RFC 4180 defines it, however the text is cut', async () => {
    const field = fc.string({ unit: fc.constantFrom('a', '"', '\n', '\r', ',', '\t', '가', '😀', ' ', ';') });
    const table = fc
      .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 5 }))
      .chain(([width, height]) =>
        fc.array(fc.array(field, { minLength: width, maxLength: width }), {
          minLength: height,
          maxLength: height,
        }),
      );
    await fc.assert(
      fc.asyncProperty(
        ...([
          table,
          cuts,
          fc.constantFrom(',', '\t', ';', '|'),
          fc.constantFrom('\n', '\r\n', '\r'),
          fc.boolean(),
          fc.boolean(),
        ] as const),
        async (rows, places, separator, end, ended, given) => {
          const columns = (rows[0] ?? ['x']).map((_, i) => `column ${i}`);
          const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;
          const text =
            [columns, ...rows].map((row) => row.map(quote).join(separator)).join(end) + (ended ? end : '');
          const read = await all(csvRows(inPieces(text, places), 'f', given ? separator : undefined));
          expect(read.map(({ values }) => values)).toEqual(
            rows.map((row) => Object.fromEntries(row.map((one, i) => [columns[i]!, one]))),
          );
          let line = 2;
          for (const [i, { where }] of read.entries()) {
            expect(where).toBe(`f:${line}`);
            line += 1 + rows[i]!.reduce((sum, one) => sum + one.split(/\r\n|\n|\r/).length - 1, 0);
          }
        },
      ),
    );
  });

  it('read CSV without quotes, quotes within fields, empty fields and empty lines', async () => {
    const text = 'a,b,c\r\n1,,3\r\n\r\n5\' 10",x"y"z,\r\n';
    expect(await all(csvRows(inPieces(text, []), 'f'))).toEqual([
      { where: 'f:2', values: { a: '1', b: '', c: '3' } },
      { where: 'f:4', values: { a: '5\' 10"', b: 'x"y"z', c: '' } },
    ]);
  });
});
