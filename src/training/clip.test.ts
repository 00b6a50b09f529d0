import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clipCoefficient, globalNorm } from './clip.ts';

describe('clipping gradients', () => {
  it('takes the norm over all gradients together', () => {
    expect(globalNorm([Float32Array.of(2, 3), Float32Array.of(6)])).toBe(7);
    expect(globalNorm([])).toBe(0);
    expect(globalNorm([Float32Array.of(1, Number.NaN)])).toBeNaN();
  });

  it('gives a norm of at most the limit, and leaves smaller gradients alone', () => {
    const positive = fc.double({ min: 1e-3, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(positive, positive, (norm, maxNorm) => {
        const coefficient = clipCoefficient(norm, maxNorm);
        if (norm + 1e-6 <= maxNorm) expect(coefficient).toBe(1);
        else expect(coefficient).toBe(maxNorm / (norm + 1e-6));
        expect(Math.min(norm, norm * coefficient)).toBeLessThanOrEqual(maxNorm * (1 + 1e-15));
      }),
    );
  });

  it('gives no factor for non-finite gradients', () => {
    expect(clipCoefficient(Number.NaN, 1)).toBeNaN();
    expect(clipCoefficient(Number.POSITIVE_INFINITY, 1)).toBeNaN();
    expect(() => clipCoefficient(1, 0)).toThrow('above 0');
  });
});
