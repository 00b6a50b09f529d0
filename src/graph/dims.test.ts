import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RopewalkError } from '../errors.ts';
import {
  addDims,
  broadcastShapes,
  type Dim,
  divideDims,
  mulDims,
  sameDim,
  sameShape,
  shapeText,
  sizeOf,
  staticShape,
  symbol,
} from './dims.ts';

const names = ['batch', 'past', 'time'] as const;
type Values = Record<(typeof names)[number], number>;

/** A random expression as a dim and as the function that it means. */
interface Expression {
  readonly dim: Dim;
  readonly value: (values: Values) => number;
}
const { expression } = fc.letrec<{ expression: Expression }>((tie) => ({
  expression: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.integer({ min: -4, max: 6 }).map((number) => ({ dim: number, value: () => number })),
    fc.constantFrom(...names).map((name) => ({ dim: symbol(name), value: (values: Values) => values[name] })),
    fc.tuple(fc.boolean(), tie('expression'), tie('expression')).map(([sum, a, b]) => ({
      dim: sum ? addDims(a.dim, b.dim) : mulDims(a.dim, b.dim),
      value: (values: Values) =>
        sum ? a.value(values) + b.value(values) : a.value(values) * b.value(values),
    })),
  ),
}));

/** The number that a dim's text means. */
function read(dim: Dim, values: Values): number {
  return String(dim)
    .split('+')
    .map((term) =>
      term
        .split('*')
        .map((factor) => (factor in values ? values[factor as keyof Values] : Number(factor)))
        .reduce((a, b) => a * b, 1),
    )
    .reduce((a, b) => a + b, 0);
}

const assignment = fc.record({
  batch: fc.integer({ min: 1, max: 9 }),
  past: fc.integer({ min: 0, max: 9 }),
  time: fc.integer({ min: 1, max: 9 }),
});

describe('a symbolic size', () => {
  it('equals the sums and products it was made from, whatever values its symbols take', () => {
    fc.assert(
      fc.property(expression, assignment, ({ dim, value }, values) => {
        expect(read(dim, values)).toBe(value(values));
      }),
      { seed: 1 },
    );
  });

  it('compares equal however it was computed', () => {
    fc.assert(
      fc.property(expression, expression, expression, ({ dim: a }, { dim: b }, { dim: c }) => {
        expect(sameDim(addDims(a, b), addDims(b, a))).toBe(true);
        expect(sameDim(mulDims(a, b), mulDims(b, a))).toBe(true);
        expect(sameDim(mulDims(addDims(a, b), c), addDims(mulDims(a, c), mulDims(b, c)))).toBe(true);
        expect(sameDim(addDims(a, mulDims(-1, a)), 0)).toBe(true);
        expect(sameDim(mulDims(a, 0), 0)).toBe(true);
      }),
      { seed: 2 },
    );
  });

  it('compares unequal where the numbers would differ', () => {
    fc.assert(
      fc.property(expression, expression, assignment, (a, b, values) => {
        if (sameDim(a.dim, b.dim)) expect(a.value(values)).toBe(b.value(values));
      }),
      { seed: 3, numRuns: 500 },
    );
    expect(sameDim(symbol('time'), symbol('past'))).toBe(false);
    expect(sameDim(symbol('time'), 1)).toBe(false);
  });

  it('becomes a number as soon as nothing unknown is left', () => {
    const time = symbol('time');
    expect(addDims(addDims(time, 3), mulDims(-1, time))).toBe(3);
    expect(divideDims(mulDims(6, time), time)).toBe(6);
  });

  it('divides exactly or throws', () => {
    const monomial = fc
      .tuple(fc.integer({ min: 1, max: 4 }), fc.array(fc.constantFrom(...names), { maxLength: 2 }))
      .map(([n, factors]) => factors.reduce<Dim>((dim, name) => mulDims(dim, symbol(name)), n));
    fc.assert(
      fc.property(expression, monomial, ({ dim }, divisor) => {
        fc.pre(!sameDim(dim, 0));
        const quotient = divideDims(mulDims(dim, divisor), divisor);
        expect(quotient !== undefined && sameDim(quotient, dim)).toBe(true);
      }),
      { seed: 4 },
    );
    const time = symbol('time');
    expect(divideDims(7, 2)).toBeUndefined();
    expect(divideDims(7, 0)).toBeUndefined();
    expect(divideDims(addDims(time, 1), time)).toBeUndefined();
    expect(divideDims(mulDims(3, time), 2)).toBeUndefined();
    expect(divideDims(addDims(time, 1), addDims(time, 1))).toBe(1);
  });
});

describe('a shape', () => {
  const time = symbol('time');

  it('is printed as people write it', () => {
    expect(shapeText([2, mulDims(2, time), addDims(time, symbol('past'))])).toBe('[2, 2*time, past+time]');
    expect(shapeText([])).toBe('[]');
  });

  it('has as many elements as the product of its sizes', () => {
    expect(sizeOf([2, 3, 4])).toBe(24);
    expect(sizeOf([])).toBe(1);
    expect(String(sizeOf([2, time, 3]))).toBe('6*time');
    expect(sameShape([2, time], [2, symbol('time')])).toBe(true);
    expect(sameShape([2, time], [2, time, 1])).toBe(false);
  });

  it('is broadcast as in NumPy, unknown sizes included', () => {
    expect(broadcastShapes([3, 1], [2, 1, 5])).toEqual([2, 3, 5]);
    expect(broadcastShapes([], [4])).toEqual([4]);
    expect(broadcastShapes([time, 1], [1, 8])).toEqual([time, 8]);
    expect(broadcastShapes([time], [time])).toEqual([time]);
    expect(broadcastShapes([2, 3], [2, 4])).toBeUndefined();
    // An unknown size might be 1 or 3: nothing is guessed.
    expect(broadcastShapes([time], [3])).toBeUndefined();
    expect(broadcastShapes([time], [symbol('past')])).toBeUndefined();
  });

  it('throws an error that names who needs its unknown size in advance', () => {
    expect(staticShape([2, 3], 'x')).toEqual([2, 3]);
    expect(() => staticShape([2, time], 'the weight w')).toThrow(RopewalkError);
    expect(() => staticShape([2, time], 'the weight w')).toThrow(
      'the weight w needs a static shape, but the shape is [2, time]',
    );
  });
});
