import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchSampler, evaluationBatches } from './batches.ts';

const range = (length: number) => Int32Array.from({ length }, (_, i) => i);

/** Token counts, batch sizes and window lengths that fit together. */
const shapes = fc
  .record({ batch: fc.integer({ min: 1, max: 5 }), seq: fc.integer({ min: 1, max: 9 }), extra: fc.nat(80) })
  .map(({ batch, seq, extra }) => ({ batch, seq, tokens: range(seq + 1 + extra) }));

describe('BatchSampler', () => {
  it('gives every window of an epoch once, and targets one ahead of inputs', () => {
    fc.assert(
      fc.property(shapes, fc.nat(), ({ seq, tokens }, seed) => {
        // One row at a time tells the epochs apart.
        const sampler = new BatchSampler({ tokens, batch: 1, seq, seed });
        for (let epoch = 0; epoch < 3; epoch++) {
          const starts: number[] = [];
          let windows = 1;
          for (let i = 0; i < windows; i++) {
            const { inputs, targets, epoch: found } = sampler.next();
            windows = sampler.windows;
            expect(found).toBe(epoch);
            expect([...targets]).toEqual([...inputs].map((token) => token + 1));
            expect([...inputs]).toEqual([...range(seq)].map((i) => inputs[0]! + i));
            starts.push(inputs[0]!);
          }
          starts.sort((a, b) => a - b);
          // Side by side, with less than a window left over at either end.
          starts.forEach((start, i) => {
            expect(start).toBe(starts[0]! + i * seq);
          });
          expect(starts[0]).toBeLessThan(seq);
          expect(tokens.length - 1 - (starts.at(-1)! + seq)).toBeLessThan(seq);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('gives the same rows whatever the batch size', () => {
    const rows = (batch: number) => {
      const sampler = new BatchSampler({ tokens: range(100), batch, seq: 7, seed: 4 });
      return Array.from({ length: 60 / batch }, () => [...sampler.next().inputs]).flat();
    };
    expect(rows(6)).toEqual(rows(1));
    expect(rows(60)).toEqual(rows(1)); // one batch over several epochs
  });

  it('continues exactly where a saved state left off', () => {
    fc.assert(
      fc.property(shapes, fc.nat(), fc.nat(30), ({ batch, seq, tokens }, seed, steps) => {
        const sampler = new BatchSampler({ tokens, batch, seq, seed });
        for (let i = 0; i < steps; i++) sampler.next();
        const resumed = new BatchSampler({ tokens, batch, seq, seed: 0 });
        resumed.restore(JSON.parse(JSON.stringify(sampler.state())));
        expect(resumed.state()).toEqual(sampler.state());
        for (let i = 0; i < 12; i++) expect(resumed.next()).toEqual(sampler.next());
      }),
    );
  });

  it('orders and offsets windows differently for each epoch and each seed', () => {
    const starts = (seed: number, skip: number) => {
      const sampler = new BatchSampler({ tokens: range(1009), batch: 1, seq: 16, seed });
      for (let i = 0; i < skip; i++) sampler.next();
      return Array.from({ length: 40 }, () => sampler.next().inputs[0]!);
    };
    expect(starts(1, 0)).toEqual(starts(1, 0));
    expect(starts(1, 0)).not.toEqual(starts(2, 0));
    const phases = new Set([0, 70, 140, 210].map((skip) => starts(1, skip)[0]! % 16));
    expect(phases.size).toBeGreaterThan(1);
  });

  it('refuses bad sizes, text that is too short, and the state of other data', () => {
    const sampler = new BatchSampler({ tokens: range(50), batch: 2, seq: 8, seed: 0 });
    const state = sampler.state();
    expect(() => new BatchSampler({ tokens: range(8), batch: 1, seq: 8, seed: 0 })).toThrow('at least 9');
    expect(() => new BatchSampler({ tokens: range(9), batch: 0, seq: 8, seed: 0 })).toThrow('batch must be');
    expect(() => sampler.restore({ ...state, tokens: 51 })).toThrow('same text, tokenizer and seq');
    expect(() => sampler.restore({ ...state, position: 1000 })).toThrow('damaged');
    expect(() => sampler.restore({ ...state, random: [0, 0, 0, 0] })).toThrow('damaged');
  });
});

describe('evaluationBatches', () => {
  it('makes every token but the first a target once, in order, after the token before it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 120 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 9 }),
        (length, batch, seq) => {
          const targets: number[] = [];
          let count = 0;
          for (const each of evaluationBatches(range(length), batch, seq)) {
            expect([each.inputs.length, each.targets.length, each.weights.length]).toEqual([
              batch * seq,
              batch * seq,
              batch * seq,
            ]);
            each.weights.forEach((weight, i) => {
              expect([0, 1]).toContain(weight);
              if (weight === 0) return;
              expect(each.inputs[i]).toBe(each.targets[i]! - 1);
              targets.push(each.targets[i]!);
            });
            expect(each.count).toBe(each.weights.reduce((a, b) => a + b, 0));
            count += each.count;
          }
          expect(targets).toEqual([...range(length)].slice(1));
          expect(count).toBe(length - 1);
        },
      ),
    );
  });

  it('refuses a text without a target', () => {
    expect(() => evaluationBatches(range(1), 1, 4).next()).toThrow('at least 2');
  });
});
