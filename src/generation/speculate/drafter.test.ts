import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LookupDrafter } from './drafter.ts';
import { GuessLength } from './guess-length.ts';

describe('LookupDrafter', () => {
  /** By the definition: of all earlier places, the one with the longest common end, and of those the last. */
  function byDefinition(context: readonly number[], count: number): number[] {
    let best = { length: 1, end: -1 };
    for (let end = 1; end < context.length; end++) {
      for (let length = 4; length >= 2; length--) {
        const here = context.slice(Math.max(0, end - length), end).join();
        const last = context.slice(context.length - length).join();
        if (length > end || here !== last) continue;
        if (length >= best.length) best = { length, end };
        break;
      }
    }
    if (best.end < 0) return [];
    const guessed = [...context];
    // Copying token by token continues into what has just been copied.
    for (let i = 0; i < count; i++) guessed.push(guessed[best.end + i]!);
    return guessed.slice(context.length);
  }

  it('proposes what followed the longest, then latest, earlier occurrence', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(2), { maxLength: 20 }),
        fc.integer({ min: 1, max: 9 }),
        async (ids, count) => {
          expect((await new LookupDrafter().guess(ids, count)).ids).toEqual(byDefinition(ids, count));
        },
      ),
      { seed: 1, numRuns: 2000 },
    );
  });
});

describe('GuessLength', () => {
  it('grows while guesses are accepted, and falls back to the length that was accepted', () => {
    const length = new GuessLength(20);
    const seen = [0, 1, 2, 3].map(() => {
      const guessed = length.next();
      length.update(guessed, guessed);
      return guessed;
    });
    expect(seen).toEqual([4, 8, 16, 20]);
    length.update(length.next(), 5);
    expect(length.next()).toBe(6);
  });

  it('guesses almost nothing when nothing is accepted, and starts again when something is', () => {
    const length = new GuessLength(16);
    let guessed = 0;
    let runs = 0;
    for (let token = 0; token < 500; token++) {
      const count = length.next();
      if (count > 0) runs++;
      guessed += count;
      length.update(count, 0);
    }
    expect(runs).toBeLessThan(25);
    expect(guessed).toBeLessThan(40);
    while (length.next() === 0);
    length.update(1, 1);
    expect(length.next()).toBe(2);
  });
});
