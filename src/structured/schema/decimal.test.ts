import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DecimalRange,
  isContradiction,
  isMultiple,
  type NumberRules,
  type PartialNumber,
} from './decimal.ts';

/** Feeds a number's text; undefined when it is ruled out on the way. */
function read(range: DecimalRange, text: string): PartialNumber | undefined {
  let number = range.start(text.charCodeAt(0));
  for (let i = 1; i < text.length && number; i++) number = range.next(number, text.charCodeAt(i));
  return number;
}

const takes = (rules: NumberRules, text: string) => {
  const range = new DecimalRange(rules);
  const number = read(range, text);
  return number !== undefined && range.complete(number);
};

/** Multiples among numbers of at most three decimals. */
function isThousandths(value: number, step: number): boolean {
  return Math.round(value * 1000) % Math.round(step * 1000) === 0;
}

/** What the standard says, in exact integer arithmetic on the text's digits. */
function fits(rules: NumberRules, value: number): boolean {
  return (
    (!rules.integer || Number.isInteger(value)) &&
    value >= (rules.minimum ?? value) &&
    value <= (rules.maximum ?? value) &&
    (rules.exclusiveMinimum === undefined || value > rules.exclusiveMinimum) &&
    (rules.exclusiveMaximum === undefined || value < rules.exclusiveMaximum) &&
    (rules.multipleOf ?? []).every((step) => isThousandths(value, step))
  );
}

const bound = fc.oneof(
  fc.integer({ min: -2000, max: 2000 }),
  fc.integer({ min: -99999, max: 99999 }).map((n) => n / 1000),
);
const rules: fc.Arbitrary<NumberRules> = fc.record(
  {
    integer: fc.boolean(),
    minimum: bound,
    maximum: bound,
    exclusiveMinimum: bound,
    exclusiveMaximum: bound,
    multipleOf: fc.array(fc.constantFrom(1, 2, 3, 7, 0.5, 0.25, 2.5, 0.1, 0.01, 0.07, 0.3, 1.1), {
      maxLength: 2,
    }),
  },
  { requiredKeys: ['integer'] },
);

describe('the automaton of numbers in a range', () => {
  it('accepts exactly those that fit, in plain notation with few decimals', () => {
    const value = fc.oneof(
      fc.integer({ min: -3000, max: 3000 }).map(String),
      fc.integer({ min: -300000, max: 300000 }).map((n) => (n / 100).toFixed(2)),
    );
    fc.assert(
      fc.property(rules, value, (rules, text) => {
        fc.pre(!/^-0(\.0*)?$/.test(text));
        // Steps of halves leave room for as many decimals as they need, and whole numbers for none.
        const decimals = /\.(\d+)$/.exec(text)?.[1]?.length ?? 0;
        const steps = rules.multipleOf ?? [];
        const whole = rules.integer || steps.some(Number.isInteger);
        const room =
          steps.length === 0
            ? 2
            : Math.max(...steps.map((step) => (String(step).split('.')[1] ?? '').length));
        fc.pre(decimals <= (whole ? 0 : room));
        expect(takes(rules, text)).toBe(fits(rules, Number(text)));
      }),
      { numRuns: 3000 },
    );
  });

  it('knows the least number of characters to the next number', () => {
    fc.assert(
      fc.property(rules, fc.infiniteStream(fc.nat(11)), (rules, choices) => {
        const range = new DecimalRange(rules);
        if (range.shortest() === Number.POSITIVE_INFINITY) return;
        const bytes = Array.from('-0123456789.', (c) => c.charCodeAt(0));
        let left = range.shortest();
        let number: PartialNumber | undefined;
        let text = '';
        // Any way that gets nearer reaches the end.
        for (; left > 0; left--) {
          const ways = bytes.flatMap((byte) => {
            const next = number ? range.next(number, byte) : range.start(byte);
            const rest = next && (range.complete(next) ? 0 : range.more(next));
            return next && rest! <= left - 1 ? [{ next, byte }] : [];
          });
          expect(ways.length).toBeGreaterThan(0);
          const way = ways[choices.next().value! % ways.length]!;
          number = way.next;
          text += String.fromCharCode(way.byte);
        }
        expect(fits(rules, Number(text)), text).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it('accepts no needless leading zero, no minus zero, and no trailing point', () => {
    for (const text of ['00', '01', '-0', '1.', '.5', '+1', '1e5', '-01']) {
      expect(takes({ integer: false }, text), text).toBe(false);
    }
    for (const text of ['0', '-1', '0.000001', '123456789.25', '-7.50']) {
      expect(takes({ integer: false }, text), text).toBe(true);
    }
    expect(takes({ integer: true }, '9'.repeat(15))).toBe(true);
    expect(takes({ integer: true }, '1'.repeat(16))).toBe(false);
  });

  it('accepts multiples exactly, as decimals', () => {
    const digits = fc.integer({ min: 1, max: 99_999 });
    fc.assert(
      fc.property(digits, digits, fc.nat(9), (factor, step, decimals) => {
        const text = (n: bigint) => Number(`${n}e-${decimals}`);
        const value = BigInt(factor) * BigInt(step);
        expect(isMultiple(text(value), text(BigInt(step)))).toBe(true);
        expect(isMultiple(text(value + 1n), text(BigInt(step)))).toBe(step === 1);
      }),
    );
  });

  it('reports a contradiction exactly when no number of a fine grid fits', () => {
    fc.assert(
      fc.property(rules, (rules) => {
        const bounds = [rules.minimum, rules.maximum, rules.exclusiveMinimum, rules.exclusiveMaximum];
        const [low, high] = [Math.min, Math.max].map((pick) => pick(...bounds.map((bound) => bound ?? 0)));
        const some = Array.from(
          { length: Math.ceil((high! - low!) * 10) + 2000 },
          (_, i) => low! - 100 + i / 10,
        );
        const grid = [
          ...some,
          ...bounds.flatMap((b) => (b === undefined ? [] : [b, b - 0.0005, b + 0.0005])),
        ];
        const steps = rules.multipleOf ?? [];
        // With steps every multiple within the bounds is a candidate.
        const step = Math.max(rules.integer ? 1 : 0.001, ...steps);
        for (
          let n = Math.floor(low! / step) - 200;
          (rules.integer || steps.length > 0) && n * step <= high! + 200 * step;
          n++
        ) {
          grid.push(Number((n * step).toFixed(3)));
        }
        const fitting = grid.filter(
          (value) => steps.length === 0 || Math.abs(value * 1000 - Math.round(value * 1000)) < 1e-6,
        );
        expect(isContradiction(rules)).toBe(!fitting.some((value) => fits(rules, value)));
      }),
      { numRuns: 300 },
    );
  });

  it('accepts nothing for a range that contains none of its decimals', () => {
    expect(new DecimalRange({ integer: true, minimum: 2, maximum: 1 }).shortest()).toBe(Infinity);
    expect(new DecimalRange({ integer: true, exclusiveMinimum: 1, exclusiveMaximum: 2 }).shortest()).toBe(
      Infinity,
    );
    expect(new DecimalRange({ integer: false, minimum: 1e20 }).shortest()).toBe(Infinity);
    expect(takes({ integer: true, minimum: -9007199254740991, maximum: 9007199254740991 }, '42')).toBe(true);
  });
});
