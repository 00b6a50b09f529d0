import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { RopewalkError } from '../errors.ts';
import { Random } from '../random.ts';
import { type ChosenEntries, largest } from './choose.ts';
import { TEACHER_INPUTS } from './losses.ts';
import { OfflineSource, TaughtFile } from './taught-file.node.ts';
import { decodeRow, encodeHeader, encodeRow, layoutOf, type TaughtHeader } from './taught-format.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-taught-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

const hash = 'ab'.repeat(32);
const base: TaughtHeader = {
  format: 1,
  vocabSize: 300,
  k: 4,
  method: 'largest',
  seed: 0,
  temperature: 1,
  seq: 6,
  packed: false,
  rows: 5,
  heldOut: 3,
  tokenizer: hash,
  teacher: { name: 'the teacher', identity: hash },
  data: 'a text',
};

function makeRow({ vocabSize, seq, packed, k }: TaughtHeader, random: Random) {
  const ids = () => Int32Array.from({ length: seq }, () => random.nextInt(vocabSize));
  const weights = Float32Array.from({ length: seq }, (_, i) => (i === 2 ? 0 : 1));
  const rows = {
    ...{ inputs: ids(), targets: ids(), weights },
    ...(packed && {
      positions: Int32Array.from({ length: seq }, (_, i) => i % 4),
      segments: Float32Array.from({ length: seq }, (_, i) => Math.floor(i / 4)),
    }),
  };
  const entries = Array.from(weights, (weight): ChosenEntries | undefined => {
    const values = Float32Array.from({ length: vocabSize }, () => random.next() ** 8);
    const sum = values.reduce((a, b) => a + b, 0);
    return weight === 0
      ? undefined
      : largest(
          values.map((value) => value / sum),
          k,
        );
  });
  return { rows, entries };
}

function makeFile(header: TaughtHeader) {
  const random = new Random(3);
  const rows = Array.from({ length: header.rows }, () => makeRow(header, random));
  const held = Array.from({ length: header.heldOut }, () => makeRow(header, random));
  const bytes = Buffer.concat([
    encodeHeader(header),
    ...rows.map((row) => encodeRow(header, row.rows, row.entries, crc32)),
    ...held.map((row) => encodeRow(header, row.rows, undefined, crc32)),
  ]);
  return { rows, held, bytes };
}

function write(bytes: Uint8Array): string {
  const path = join(folder, `${files++}.taught`);
  writeFileSync(path, bytes);
  return path;
}

describe("the file of a teacher's outputs", () => {
  it.each([
    ['two bytes an id', {}],
    ['three bytes an id, packed', { vocabSize: 70_000, packed: true }],
  ])('reads back as it was written: %s', async (_name, rest) => {
    const header = { ...base, ...rest };
    const { rows, held, bytes } = makeFile(header);
    const file = await TaughtFile.open(write(bytes));
    expect(file.header).toEqual(header);
    for (const [i, { rows: row, entries }] of rows.entries()) {
      const read = await file.row(i);
      expect(read.inputs).toEqual(row.inputs);
      expect(read.targets).toEqual(row.targets);
      expect(read.weights).toEqual(row.weights);
      expect(read.positions).toEqual('positions' in row ? row.positions : undefined);
      expect(read.segments).toEqual('segments' in row ? row.segments : undefined);
      entries.forEach((entry, token) => {
        if (!entry) return;
        const at = token * header.k;
        expect([...read.entries!.ids.subarray(at, at + header.k)]).toEqual([...entry.ids]);
        const probabilities = read.entries!.probabilities.subarray(at, at + header.k);
        expect(probabilities.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 6);
        probabilities.forEach((p, place) => {
          // Half a share of 65,535, and what renormalizing four of them moves.
          expect(Math.abs(p - entry.probabilities[place]!)).toBeLessThan(5 * (0.5 / 65535));
        });
      });
      const known = entries.filter((entry) => entry !== undefined);
      const mean = known.reduce((a, { covered }) => a + covered, 0) / known.length;
      expect(read.entries!.covered).toBeCloseTo(mean, 6);
    }
    const batches = [];
    for await (const batch of file.heldOut(2)) batches.push(batch);
    expect(batches.length).toBe(2);
    expect([...batches[1]!.inputs.subarray(0, header.seq)]).toEqual([...held[2]!.rows.inputs]);
    expect([...batches[1]!.weights!.subarray(header.seq)]).toEqual(new Array(header.seq).fill(0));
    await file.close();
  });

  it('has as many bytes as its layout specifies', () => {
    const { bytes } = makeFile(base);
    const { recordBytes, plainBytes } = layoutOf(base);
    expect(recordBytes).toBe(4 + 6 * 5 + 4 + 6 * 4 * 4);
    expect(bytes.length).toBe(encodeHeader(base).length + 5 * recordBytes + 3 * plainBytes);
  });

  it('yields its rows once per epoch, and continues from a saved state', async () => {
    const file = await TaughtFile.open(write(makeFile(base).bytes));
    const options = { batch: 2, seed: 4, vocabSize: base.vocabSize };
    const source = new OfflineSource(file, options);
    const given: string[] = [];
    const epochs: number[] = [];
    for (let i = 0; i < 5; i++) {
      const { inputs, epoch } = await source.next();
      given.push(inputs.subarray(0, 6).join(), inputs.subarray(6).join());
      epochs.push(epoch);
    }
    expect(new Set(given.slice(0, 5)).size).toBe(5);
    expect(new Set(given.slice(5)).size).toBe(5);
    expect(given.slice(0, 5)).not.toEqual(given.slice(5));
    expect(epochs).toEqual([0, 0, 0, 1, 1]);
    const other = new OfflineSource(file, { ...options, seed: 99 });
    other.restore(JSON.parse(JSON.stringify(source.state())));
    expect(await other.next()).toEqual(await source.next());
    expect(() => other.restore({ ...source.state(), rows: 6 })).toThrow(/resume with the same file/);
    expect(() => other.restore({ ...source.state(), position: 6 })).toThrow(/damaged/);
    expect(() => other.restore({ ...source.state(), random: [] })).toThrow(/damaged/);
    await file.close();
  });

  it('drops tokens that a smaller vocabulary does not have', async () => {
    const header = { ...base, rows: 1, heldOut: 0 };
    const { rows, entries } = makeRow(header, new Random(1));
    const within = { ...rows, inputs: rows.inputs.map((id) => id % 200), targets: rows.targets.map(() => 7) };
    const bytes = Buffer.concat([encodeHeader(header), encodeRow(header, within, entries, crc32)]);
    const file = await TaughtFile.open(write(bytes));
    const { extra } = await new OfflineSource(file, { batch: 1, seed: 0, vocabSize: 200 }).next();
    const ids = extra![TEACHER_INPUTS.ids]!.data;
    const probabilities = extra![TEACHER_INPUTS.probabilities]!.data;
    entries.forEach((entry, token) => {
      if (!entry) return;
      const kept = [...entry.ids].map((id, place) => [id, entry.probabilities[place]!] as const);
      const mass = kept.filter(([id]) => id < 200).reduce((a, [, p]) => a + p, 0);
      kept.forEach(([id, p], place) => {
        const at = token * header.k + place;
        expect(ids[at]).toBe(id < 200 ? id : 0);
        expect(probabilities[at]).toBeCloseTo(id < 200 ? p / mass : 0, 3);
      });
    });
    const narrow = new OfflineSource(file, { batch: 1, seed: 0, vocabSize: 5 });
    await expect(narrow.next()).rejects.toThrow(/vocabulary has 5 entries/);
    await file.close();
  });
});

describe("a damaged file of a teacher's outputs", () => {
  const { bytes } = makeFile(base);
  const start = encodeHeader(base).length;

  it.each([
    ['nothing', new Uint8Array(0), /not a file of a teacher's probabilities/],
    ['something else', Buffer.from('{"a": 1, "b": [1, 2, 3]}'), /not a file of a teacher's probabilities/],
    ['a header beyond the end', bytes.subarray(0, 40), /truncated or damaged/],
    ['a cut row', bytes.subarray(0, bytes.length - 1), /its header implies/],
    ['something after its end', Buffer.concat([bytes, bytes]), /its header implies/],
  ])('is refused: %s', async (_name, content, message) => {
    await expect(TaughtFile.open(write(content))).rejects.toThrow(message);
    await expect(TaughtFile.open(write(content))).rejects.toThrow(RopewalkError);
  });

  it.each([
    ['k', 0],
    ['k', 1e9],
    ['rows', 2 ** 60],
    ['rows', -1],
    ['seq', 1e7],
    ['vocabSize', 1e12],
    ['temperature', 0],
    ['method', 'guessed'],
    ['tokenizer', 'x'],
    ['format', 2],
  ])('with the field %s as %s is refused by name', async (field, value) => {
    const content = encodeHeader({ ...base, [field]: value } as TaughtHeader);
    await expect(TaughtFile.open(write(content))).rejects.toThrow(`the header's field "${field}"`);
  });

  it('with more rows than its bytes hold is refused before anything is allocated', async () => {
    const content = Buffer.concat([encodeHeader({ ...base, rows: 2 ** 52, k: 65535 }), bytes]);
    await expect(TaughtFile.open(write(content))).rejects.toThrow(/its header implies/);
  });

  it('with any byte of a row changed is refused when that row is read', async () => {
    const { recordBytes } = layoutOf(base);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: recordBytes - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, change) => {
          const content = Buffer.from(bytes);
          content[start + recordBytes + at]! ^= change;
          const file = await TaughtFile.open(write(content));
          await file.row(0);
          await expect(file.row(1)).rejects.toThrow(/row 1 is damaged/);
          await file.close();
        },
      ),
      { numRuns: 30 },
    );
  });

  it('with a valid checksum but invalid numbers is refused', () => {
    const random = new Random(2);
    const { rows, entries } = makeRow(base, random);
    const read = (row: typeof rows, said = entries) =>
      decodeRow(base, encodeRow(base, row, said, crc32), true, crc32, 'the row');
    expect(() => read(rows)).not.toThrow();
    expect(() => read({ ...rows, inputs: rows.inputs.map(() => 300) })).toThrow(/id 300 is beyond/);
    expect(() => read({ ...rows, weights: rows.weights.map(() => 2) })).toThrow(/neither 0 nor 1/);
    expect(() => read(rows, new Array<undefined>(6).fill(undefined))).toThrow(/no probabilities for token 0/);
    const packed = { ...base, packed: true };
    const beyond = { ...rows, positions: new Int32Array(6).fill(6), segments: new Float32Array(6) };
    const record = encodeRow(packed, beyond, entries, crc32);
    expect(() => decodeRow(packed, record, true, crc32, 'the row')).toThrow(/position is beyond/);
  });
});
