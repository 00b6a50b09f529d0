import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bfloat16ToFloat32, float32ToBfloat16 } from '../checkpoint/dtypes.ts';
import type { Sliced } from './communicator.ts';
import { Staging, Transfer } from './transfer.ts';

const codec = { encode: float32ToBfloat16, decode: bfloat16ToFloat32 };

/** What MPI does with the pieces of all ranks. @returns the bytes that each rank sent. */
function carryOut(transfers: readonly Transfer[]): number[] {
  const stagings = transfers.map(() => new Staging(transfers.length));
  const sent = transfers.map(() => 0);
  const bytes = (array: Float32Array, at: number, length: number) =>
    new Uint8Array(array.buffer, array.byteOffset + at, length);
  expect(new Set(transfers.map(({ pieces }) => pieces)).size).toBe(1);
  for (let piece = 0; piece < transfers[0]!.pieces; piece++) {
    for (const [rank, transfer] of transfers.entries()) sent[rank]! += transfer.fill(piece, stagings[rank]!);
    for (const [to, { received, counts }] of stagings.entries()) {
      for (const [from, { send, counts: theirs }] of stagings.entries()) {
        const length = theirs.send[to]!;
        expect(counts.receive[from]).toBe(length);
        bytes(received, counts.receiveAt[from]!, length).set(bytes(send, theirs.sendAt[to]!, length));
      }
    }
    for (const [rank, transfer] of transfers.entries()) transfer.finish(piece, stagings[rank]!);
  }
  return sent;
}

/** Arrays of every rank with the same random bounds. */
const ranksAndParts = fc.integer({ min: 1, max: 4 }).chain((ranks) =>
  fc.record({
    ranks: fc.constant(ranks),
    parts: fc.array(
      fc
        .array(fc.integer({ min: 0, max: 40 }), { minLength: ranks, maxLength: ranks })
        .map((lengths) => [0, ...lengths.map((_, i) => lengths.slice(0, i + 1).reduce((a, b) => a + b))]),
      { minLength: 1, maxLength: 4 },
    ),
  }),
);

function slicedOf(rank: number, parts: readonly number[][], value: (i: number) => number): Sliced[] {
  return parts.map((bounds) => {
    const whole = Float32Array.from({ length: bounds.at(-1)! }, (_, i) => value(i));
    return { whole, own: whole.subarray(bounds[rank], bounds[rank + 1]), bounds };
  });
}

const value = (rank: number, i: number) => Math.sin(100 * rank + i);

describe('transfers between ranks', () => {
  it('add up each slice on the rank that has it, in the order of the ranks', () => {
    fc.assert(
      fc.property(ranksAndParts, fc.boolean(), ({ ranks, parts }, isShort) => {
        const all = Array.from({ length: ranks }, (_, rank) => slicedOf(rank, parts, (i) => value(rank, i)));
        const rounded = (x: number) => {
          const codes = new Uint16Array(1);
          const back = new Float32Array([x]);
          if (!isShort) return back[0]!;
          codec.encode(back, codes);
          codec.decode(codes, back);
          return back[0]!;
        };
        const expected = all.map((sliced, rank) =>
          sliced.map(({ bounds, own }) =>
            Float32Array.from(own, (_, k) => {
              let sum = 0;
              for (let from = 0; from < ranks; from++) {
                const x = value(from, bounds[rank]! + k);
                sum = Math.fround(sum + (from === rank ? Math.fround(x) : rounded(x)));
              }
              return sum;
            }),
          ),
        );
        const sent = carryOut(
          all.map((sliced, rank) => Transfer.reduceScatter(rank, sliced, isShort ? codec : undefined)),
        );
        expect(all.map((sliced) => sliced.map(({ own }) => own))).toEqual(expected);
        const elements = parts.reduce((sum, bounds) => sum + bounds.at(-1)!, 0);
        const total = sent.reduce((sum, each) => sum + each, 0);
        expect(total).toBe((ranks - 1) * elements * (isShort ? 2 : 4));
      }),
      { numRuns: 60 },
    );
  });

  it('give every rank all slices', () => {
    fc.assert(
      fc.property(ranksAndParts, ({ ranks, parts }) => {
        const all = Array.from({ length: ranks }, (_, rank) =>
          slicedOf(rank, parts, () => Number.NaN).map((part, p) => {
            part.own.forEach((_, k) => {
              part.own[k] = value(p, part.bounds[rank]! + k);
            });
            return part;
          }),
        );
        carryOut(all.map((sliced, rank) => Transfer.allGather(rank, sliced)));
        for (const sliced of all) {
          for (const [p, { whole }] of sliced.entries())
            expect(whole).toEqual(Float32Array.from(whole, (_, i) => value(p, i)));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('send each rank its own, in pieces', () => {
    const long = 2 ** 17 + 5;
    const message = (from: number, to: number) =>
      Float32Array.from({ length: from === 0 ? long : 3 * to }, (_, i) => 10 * from + to + i);
    const ranks = [0, 1, 2];
    const received = ranks.map((to) => ranks.map((from) => new Float32Array(message(from, to).length)));
    const transfers = ranks.map((rank) => {
      const send = ranks.map((to) => message(rank, to));
      return Transfer.exchange(rank, send, received[rank]!, long);
    });
    expect(transfers[0]!.pieces).toBe(2);
    carryOut(transfers);
    for (const to of ranks)
      for (const from of ranks) if (from !== to) expect(received[to]![from]).toEqual(message(from, to));
  });
});
