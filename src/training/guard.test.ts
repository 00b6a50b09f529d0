import { describe, expect, it } from 'vitest';
import { Random } from '../random.ts';
import { LossGuard } from './guard.ts';

/** Losses around 2 with a deviation of 0.1. */
function learned(count = 64): LossGuard {
  const guard = new LossGuard({ zScore: 6, window: 64 });
  const random = new Random(1);
  for (let i = 0; i < count; i++) expect(guard.accept(2 + 0.1 * random.nextGaussian())).toBe(true);
  return guard;
}

describe('the loss spike guard', () => {
  it('skips losses far above the recent ones, but not those below or near them', () => {
    const guard = learned();
    expect(guard.zScore(2.5)).toBeGreaterThan(3.5);
    expect(guard.zScore(2.5)).toBeLessThan(7);
    expect(guard.accept(9)).toBe(false);
    expect(guard.accept(2.3)).toBe(true);
    expect(guard.accept(0.01)).toBe(true);
  });

  it('judges neither the first losses nor non-finite ones', () => {
    expect(learned(15).accept(1000)).toBe(true);
    const guard = learned();
    expect(guard.accept(Number.NaN)).toBe(true);
    expect(guard.accept(Number.POSITIVE_INFINITY)).toBe(true);
  });

  it('accepts a level that persists as the new level', () => {
    const guard = learned();
    expect([9, 9.1, 9, 8.9].map((loss) => guard.accept(loss))).toEqual([false, false, false, false]);
    expect(guard.accept(9)).toBe(true);
    expect(guard.accept(9.2)).toBe(true);
  });

  it('resumes from its saved state', () => {
    const guard = learned();
    guard.accept(9);
    const other = new LossGuard({ zScore: 6, window: 64 });
    other.restore(JSON.parse(JSON.stringify(guard.state())));
    for (const loss of [9, 2, 2.4, 9, 9, 9, 9, 9]) expect(other.accept(loss)).toBe(guard.accept(loss));
    expect(other.state()).toEqual(guard.state());
  });
});
