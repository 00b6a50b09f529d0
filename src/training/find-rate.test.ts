import { describe, expect, it } from 'vitest';
import { suggestRate } from './find-rate.ts';

/** Losses that fall by the logistic function over log10(rate), steepest at 10^−3, and rise again after 10^−1. */
function curve(noise: (i: number) => number = () => 0) {
  return Array.from({ length: 100 }, (_, i) => {
    const exponent = -7 + (7 * i) / 99;
    const smoothed = 3 - 2 / (1 + Math.exp(-4 * (exponent + 3))) + Math.max(0, exponent + 1) * 3 + noise(i);
    return { learningRate: 10 ** exponent, loss: smoothed, smoothed };
  });
}

describe('the suggested learning rate', () => {
  it('is where the loss falls fastest', () => {
    expect(Math.abs(Math.log10(suggestRate(curve())!) + 3)).toBeLessThan(0.15);
    const shaken = suggestRate(curve((i) => 0.01 * Math.sin(2 * i)))!;
    expect(Math.abs(Math.log10(shaken) + 3)).toBeLessThan(0.4);
  });

  it('is undefined when the loss never falls', () => {
    expect(suggestRate(curve().map((point, i) => ({ ...point, smoothed: 2 + i })))).toBeUndefined();
    expect(suggestRate([])).toBeUndefined();
  });
});
