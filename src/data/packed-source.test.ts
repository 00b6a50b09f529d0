import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packRows } from './pack.ts';
import { evaluationRows, type PackedRows, PackedSource, type PackedState, slotsOf } from './packed-source.ts';
import { type DatasetView, datasetOf, type Example, splitDataset } from './view.ts';

const SEQ = 12;

/** Examples whose ids are all different, so that each token can be found again. */
function examplesOf(lengths: readonly number[], seed = 0): Example[] {
  let next = 1;
  return lengths.map((length, i) => ({
    ids: Int32Array.from({ length }, () => next++),
    trained: Uint8Array.from({ length }, (_, k) => (k > 0 && (k * 7 + i + seed) % 3 > 0 ? 1 : 0)),
  }));
}

const anyLengths = fc.array(fc.integer({ min: 2, max: SEQ + 1 }), { minLength: 1, maxLength: 40 });
const anyOptions = fc.record({
  batch: fc.integer({ min: 1, max: 4 }),
  pack: fc.boolean(),
  seed: fc.integer({ min: -5, max: 1e6 }),
});

/** The examples in rows, by their segments; checks all that rows promise on the way. */
function examplesIn({ inputs, targets, weights, positions, segments }: PackedRows, batch: number): Example[] {
  const found: Example[] = [];
  for (const array of [inputs, targets, weights, positions, segments]) expect(array.length).toBe(batch * SEQ);
  for (let row = 0; row < batch; row++) {
    let at = row * SEQ;
    const end = at + SEQ;
    for (let segment = 0; at < end; segment++) {
      let length = 0;
      // Segments follow one another by number, each in one piece, with positions from 0 on.
      for (; at + length < end && segments[at + length] === segment; length++) {
        expect(positions[at + length]).toBe(length);
      }
      expect(length).toBeGreaterThan(0);
      if (inputs[at] === 0) {
        // What fills the row, up to its end.
        expect(at + length).toBe(end);
        expect([
          ...inputs.subarray(at, end),
          ...targets.subarray(at, end),
          ...weights.subarray(at, end),
        ]).toEqual(new Array(3 * length).fill(0));
      } else {
        const ids = [inputs[at]!, ...targets.subarray(at, at + length)];
        // What is predicted is what comes next, within the example.
        expect([...inputs.subarray(at, at + length)]).toEqual(ids.slice(0, -1));
        found.push({
          ids: Int32Array.from(ids),
          trained: Uint8Array.from([0, ...weights.subarray(at, at + length)]),
        });
      }
      at += length;
    }
  }
  return found;
}

const byFirstId = (a: Example, b: Example) => a.ids[0]! - b.ids[0]!;

describe('PackedSource', () => {
  it('yields every token of every example once per epoch, with its loss mask, in separate segments', async () => {
    await fc.assert(
      fc.asyncProperty(anyLengths, anyOptions, async (lengths, { batch, pack, seed }) => {
        const examples = examplesOf(lengths);
        const source = new PackedSource(datasetOf(examples, 'x'), { batch, seq: SEQ, pack, seed });
        for (let epoch = 0; epoch < 3; epoch++) {
          const found: Example[] = [];
          for (let i = 0; i < source.batchesPerEpoch; i++) {
            const rows = await source.next();
            expect(rows.epoch).toBe(epoch);
            found.push(...examplesIn(rows, batch));
          }
          expect(found.sort(byFirstId)).toEqual(examples);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('continues from a saved state with the same batches, in this process or another', async () => {
    await fc.assert(
      fc.asyncProperty(anyLengths, anyOptions, fc.nat(20), async (lengths, options, steps) => {
        const view = datasetOf(examplesOf(lengths), 'x');
        const source = new PackedSource(view, { ...options, seq: SEQ });
        for (let i = 0; i < steps; i++) await source.next();
        const state = JSON.parse(JSON.stringify(source.state())) as PackedState;
        const other = new PackedSource(view, { ...options, seq: SEQ });
        other.restore(state);
        for (let i = 0; i < 8; i++) {
          expect(other.state()).toEqual(source.state());
          expect(await other.next()).toEqual(await source.next());
        }
        source.restore(state);
        expect(source.state()).toEqual(state);
      }),
      { numRuns: 60 },
    );
  });

  it('shuffles differently for each epoch and seed, and identically for the same ones', async () => {
    const view = datasetOf(examplesOf(Array.from({ length: 30 }, () => 5)), 'x');
    const firstIds = async (seed: number) => {
      const source = new PackedSource(view, { batch: 1, seq: SEQ, pack: false, seed });
      const ids: number[] = [];
      for (let i = 0; i < 60; i++) ids.push((await source.next()).inputs[0]!);
      return [ids.slice(0, 30).join(), ids.slice(30).join()];
    };
    const orders = [...(await firstIds(1)), ...(await firstIds(2)), ...(await firstIds(3))];
    expect(new Set(orders).size).toBe(orders.length);
    expect(await firstIds(1)).toEqual(orders.slice(0, 2));
  });

  it('refuses damaged states and those of other data or options', () => {
    const view = datasetOf(examplesOf([3, 4, 5, 13]), 'x');
    const options = { batch: 2, seq: SEQ, pack: true, seed: 1 };
    const source = new PackedSource(view, options);
    const state = source.state();
    for (const [change, message] of [
      [{ identity: 'y' }, /other data/],
      [{ batch: 3 }, /batch 3, but batch is now 2/],
      [{ seq: 8 }, /seq 8/],
      [{ pack: false }, /pack false/],
      [{ seed: 2 }, /seed 2/],
      [{ position: 99 }, /damaged/],
      [{ epoch: -1 }, /damaged/],
      [{ epoch: 1.5 }, /damaged/],
    ] as const) {
      expect(() => source.restore({ ...state, ...change })).toThrow(message);
    }
    expect(() => new PackedSource(view, { ...options, seq: 11 })).toThrow(
      /example 3 has 13 tokens.*maxLength 12/,
    );
    expect(() => new PackedSource(view, { ...options, batch: 0 })).toThrow(/batch must be/);
    expect(() => new PackedSource(datasetOf([], 'x'), options)).toThrow(/no examples/);
  });
});

describe('evaluationRows', () => {
  it('yields every example once, and the same rows every time', async () => {
    await fc.assert(
      fc.asyncProperty(anyLengths, anyOptions, async (lengths, { batch, pack }) => {
        const examples = examplesOf(lengths);
        const view = datasetOf(examples, 'x');
        const runs: PackedRows[][] = [];
        for (let run = 0; run < 2; run++) {
          const rows: PackedRows[] = [];
          for await (const one of evaluationRows(view, { batch, seq: SEQ, pack })) rows.push(one);
          runs.push(rows);
        }
        expect(runs[1]).toEqual(runs[0]);
        expect(runs[0]!.flatMap((rows) => examplesIn(rows, batch)).sort(byFirstId)).toEqual(examples);
      }),
      { numRuns: 60 },
    );
  });
});

describe('packRows', () => {
  it('places each example once, overfills no row, and uses few rows', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 70 }), { maxLength: 200 }),
        fc.integer({ min: 70, max: 130 }),
        (lengths, capacity) => {
          const order = Int32Array.from(lengths, (_, i) => i);
          const rows = packRows(order, (i) => lengths[i]!, capacity);
          expect(rows.flat().sort((a, b) => a - b)).toEqual([...order]);
          const filled = rows.map((row) => row.reduce((sum, i) => sum + lengths[i]!, 0));
          for (const sum of filled) expect(sum).toBeLessThanOrEqual(capacity);
          // No row was begun that its first example did not need: it fitted into none of those before.
          for (const [j, row] of rows.entries()) {
            for (const sum of filled.slice(0, j)) expect(sum + lengths[row[0]!]!).toBeGreaterThan(capacity);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('places examples as best fit by hand does, with as many rows whatever the order of equal lengths', () => {
    // 7 | 7, 5 | 5 4 | 7 3, which is full | 5 4 1, which is full too
    const lengths = [5, 7, 1, 4, 3];
    expect(packRows(Int32Array.from([0, 1, 2, 3, 4]), (i) => lengths[i]!, 10)).toEqual([
      [1, 4],
      [0, 3, 2],
    ]);
    fc.assert(
      fc.property(anyLengths, fc.integer(), (lengths, seed) => {
        const order = Array.from(lengths, (_, i) => i);
        const other = order.toSorted((a, b) => ((a * 31 + seed) % 7) - ((b * 31 + seed) % 7));
        const count = (one: number[]) =>
          packRows(Int32Array.from(one), (i) => slotsOf(lengths[i]!), SEQ).length;
        expect(count(other)).toBe(count(order));
      }),
    );
  });
});

describe('splitDataset', () => {
  const firstIds = async (view: DatasetView) =>
    Promise.all(Array.from({ length: view.size }, async (_, i) => (await view.read(i)).ids[0]!));

  it('splits examples by share or by number, in order, and identically for the same seed', async () => {
    const data = datasetOf(examplesOf(Array.from({ length: 20 }, () => 3)), 'x');
    for (const [validation, count] of [
      [0.25, 5],
      [7, 7],
      [0.001, 1],
      [0, 0],
    ] as const) {
      const split = splitDataset(data, validation, 3);
      expect([split.training.size, split.validation.size]).toEqual([20 - count, count]);
      const [training, held] = [await firstIds(split.training), await firstIds(split.validation)];
      for (const ids of [training, held]) expect(ids).toEqual(ids.toSorted((a, b) => a - b));
      expect([...training, ...held].toSorted((a, b) => a - b)).toEqual(await firstIds(data));
      expect(await firstIds(splitDataset(data, validation, 3).validation)).toEqual(held);
    }
    const identities = [1, 2].map((seed) => splitDataset(data, 5, seed).training.identity);
    expect(new Set([...identities, splitDataset(data, 5, 1).validation.identity]).size).toBe(3);
    expect(() => splitDataset(data, 20, 1)).toThrow(/leave none/);
    expect(() => splitDataset(data, 1.5, 1)).toThrow(/share below 1/);
    expect(() => splitDataset(data, -1, 1)).toThrow(/share below 1/);
    await expect(splitDataset(data, 5, 1).training.read(15)).rejects.toThrow(RangeError);
  });
});
