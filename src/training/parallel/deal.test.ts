import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TrainingRows } from '../../batches.ts';
import { blankRows, dealRows, shareOf } from './deal.ts';

const SEQ = 3;

/** A micro-batch whose every number says which row and place it is of. */
function rowsOf(first: number, count: number, isFull: boolean): TrainingRows {
  const length = count * SEQ;
  const ints = (base: number) => Int32Array.from({ length }, (_, i) => base + first * SEQ + i);
  return {
    ...{ inputs: ints(0), targets: ints(1) },
    ...(isFull && {
      weights: Float32Array.from({ length }, (_, i) => ((first * SEQ + i) % 5) / 4),
      positions: Int32Array.from({ length }, (_, i) => i % 2),
      segments: Float32Array.from({ length }, (_, i) => i % 4),
    }),
    extra: {
      perToken: { data: Float32Array.from({ length: 2 * length }, (_, i) => first + i), shape: [length, 2] },
      perRow: { data: Int32Array.from({ length: count }, (_, i) => first + i), shape: [count] },
    },
  };
}

const flat = (all: readonly TrainingRows[], of: (one: TrainingRows) => Iterable<number>) =>
  all.flatMap((one) => [...of(one)]);

describe('the rows of a step, dealt out to ranks', () => {
  it('are each given to one rank, in their order, as many to each', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 12 }),
        fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
        (batch, accumulate, ranks, full) => {
          fc.pre((batch * accumulate) % ranks === 0);
          const step = Array.from({ length: accumulate }, (_, i) => rowsOf(i * batch, batch, full[i]!));
          const share = shareOf(batch, accumulate, ranks);
          expect(share.batch * share.accumulate * ranks).toBe(batch * accumulate);
          expect(share.batch).toBeLessThanOrEqual(batch);
          const dealt = Array.from({ length: ranks }, (_, rank) => dealRows(step, SEQ, share, rank)).flat();
          for (const one of dealt) expect(one.inputs.length).toBe(share.batch * SEQ);
          for (const name of ['inputs', 'targets'] as const)
            expect(flat(dealt, (one) => one[name])).toEqual(flat(step, (one) => one[name]));
          const weights = (one: TrainingRows) => one.weights ?? new Float32Array(one.inputs.length).fill(1);
          const positions = (one: TrainingRows) => one.positions ?? one.inputs.map((_, i) => i % SEQ);
          const segments = (one: TrainingRows) => one.segments ?? new Float32Array(one.inputs.length);
          for (const of of [weights, positions, segments]) expect(flat(dealt, of)).toEqual(flat(step, of));
          for (const name of ['perToken', 'perRow']) {
            expect(flat(dealt, ({ extra }) => extra![name]!.data)).toEqual(
              flat(step, ({ extra }) => extra![name]!.data),
            );
          }
          const shapes = dealt.map(({ extra }) => [extra!.perToken!.shape, extra!.perRow!.shape]);
          expect(shapes).toEqual(dealt.map(() => [[share.batch * SEQ, 2], [share.batch]]));
        },
      ),
    );
  });

  it('are refused where they do not divide, with the numbers and a remedy', () => {
    expect(() => shareOf(3, 2, 4)).toThrow(
      'a step has 6 rows (batch 3 × accumulate 2), which cannot be dealt out to 4 ranks; choose a multiple of 4.',
    );
  });

  it('keep one process’s micro-batches where those can be dealt out', () => {
    expect(shareOf(4, 2, 2)).toEqual({ batch: 4, accumulate: 1 });
    expect(shareOf(4, 1, 2)).toEqual({ batch: 2, accumulate: 1 });
    expect(shareOf(1, 6, 3)).toEqual({ batch: 1, accumulate: 2 });
    expect(shareOf(4, 3, 2)).toEqual({ batch: 3, accumulate: 2 });
  });

  it('are filled up with rows that count for nothing', () => {
    const rows = rowsOf(0, 2, true);
    expect(blankRows(rows).weights).toEqual(new Float32Array(2 * SEQ));
    expect(blankRows(rows).extra).toBe(rows.extra);
  });
});
