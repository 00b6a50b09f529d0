import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { doublingScale, linearScale, logScale, tickText } from './scale.ts';

describe('the scale of a chart', () => {
  it('maps its ends to the ends of the axis, with ticks between them', () => {
    const number = fc.double({ min: -1e6, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(number, fc.double({ min: 1e-3, max: 1e6, noNaN: true }), (from, span) => {
        const scale = linearScale(from, from + span, 50, 450);
        expect(scale(from)).toBeCloseTo(50, 6);
        expect(scale(from + span)).toBeCloseTo(450, 6);
        expect(scale.ticks.length).toBeGreaterThan(1);
        for (const tick of scale.ticks) {
          expect(scale(tick)).toBeGreaterThan(49.9);
          expect(scale(tick)).toBeLessThan(450.1);
        }
      }),
    );
  });

  it('spaces powers of ten and doublings equally', () => {
    const powers = logScale(0.001, 1000, 0, 600);
    expect(powers.ticks).toEqual(
      [0.001, 0.01, 0.1, 1, 10, 100, 1000].map((value) => expect.closeTo(value, 9)),
    );
    expect(powers(1)).toBeCloseTo(300);
    const doublings = doublingScale(8, 64, 0, 300);
    expect(doublings.ticks.map((tick) => doublings(tick))).toEqual([0, 100, 200, 300]);
  });

  it('writes ticks as people read them', () => {
    expect([0, 0.5, -2, 1000, 1e-5, 1e7].map(tickText)).toEqual(['0', '0.5', '−2', '1,000', '10⁻⁵', '10⁷']);
  });
});
