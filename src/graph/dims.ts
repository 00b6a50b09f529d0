import { RopewalkError } from '../errors.ts';

/**
 * A size along one axis: a number, or an expression in named sizes that are only known when the graph runs
 * (`time`, `past + time`). Expressions are polynomials with integer coefficients, kept in a canonical form so
 * that two of them are equal exactly when they print the same.
 */
export type Dim = number | SymbolicDim;
export type Shape = readonly Dim[];

/** A size that contains symbols: a polynomial with integer coefficients, such as 2·past + 1. */
export class SymbolicDim {
  /** Monomial (`time`, `batch*time`, or '' for the constant) to its coefficient; no zero coefficients. */
  readonly terms: ReadonlyMap<string, number>;

  constructor(terms: ReadonlyMap<string, number>) {
    this.terms = new Map([...terms].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** Readable text, terms in a fixed order: equal sizes give equal texts. */
  toString(): string {
    return [...this.terms]
      .map(([monomial, coefficient]) => {
        if (monomial === '') return `${coefficient}`;
        return coefficient === 1 ? monomial : `${coefficient}*${monomial}`;
      })
      .join('+');
  }
}

/** A size that is only known when the graph runs. */
export function symbol(name: string): SymbolicDim {
  return new SymbolicDim(new Map([[name, 1]]));
}

function termsOf(dim: Dim): ReadonlyMap<string, number> {
  return typeof dim === 'number' ? new Map([['', dim]]) : dim.terms;
}

function fromTerms(terms: Map<string, number>): Dim {
  for (const [monomial, coefficient] of terms) if (coefficient === 0) terms.delete(monomial);
  if (terms.size === 0) return 0;
  if (terms.size === 1 && terms.has('')) return terms.get('')!;
  return new SymbolicDim(terms);
}

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  const terms = new Map(termsOf(a));
  for (const [monomial, coefficient] of termsOf(b)) {
    terms.set(monomial, (terms.get(monomial) ?? 0) + coefficient);
  }
  return fromTerms(terms);
}

export function mulDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  const terms = new Map<string, number>();
  for (const [left, x] of termsOf(a)) {
    for (const [right, y] of termsOf(b)) {
      const monomial = [...left.split('*'), ...right.split('*')].filter(Boolean).sort().join('*');
      terms.set(monomial, (terms.get(monomial) ?? 0) + x * y);
    }
  }
  return fromTerms(terms);
}

/** Exact division, or undefined when `b` does not divide `a`. */
export function divideDims(a: Dim, b: Dim): Dim | undefined {
  if (typeof a === 'number' && typeof b === 'number') return b !== 0 && a % b === 0 ? a / b : undefined;
  if (sameDim(a, b)) return 1;
  const divisor = [...termsOf(b)];
  if (divisor.length !== 1) return undefined;
  const [monomial, coefficient] = divisor[0]!;
  const terms = new Map<string, number>();
  for (const [left, x] of termsOf(a)) {
    const factors = left.split('*').filter(Boolean);
    for (const factor of monomial.split('*').filter(Boolean)) {
      const at = factors.indexOf(factor);
      if (at < 0) return undefined;
      factors.splice(at, 1);
    }
    if (x % coefficient !== 0) return undefined;
    terms.set(factors.join('*'), x / coefficient);
  }
  return fromTerms(terms);
}

export function sameDim(a: Dim, b: Dim): boolean {
  return a === b || (typeof a !== 'number' && typeof b !== 'number' && a.toString() === b.toString());
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, axis) => sameDim(dim, b[axis]!));
}

/**
 * The number of elements. A product of known sizes that is not a safe integer becomes infinite and stays so: a shape
 * from a file may be too large.
 */
export function sizeOf(shape: readonly number[]): number;
export function sizeOf(shape: Shape): Dim;
export function sizeOf(shape: Shape): Dim {
  let size: Dim = 1;
  for (const dim of shape) {
    size = mulDims(size, dim);
    if (typeof size === 'number' && !Number.isSafeInteger(size)) return Number.POSITIVE_INFINITY;
  }
  return size;
}

export function shapeText(shape: Shape): string {
  return `[${shape.map(String).join(', ')}]`;
}

/** A shape whose sizes are all known, or an error that names the caller that needed it. */
export function staticShape(shape: Shape, who: string): number[] {
  return shape.map((dim) => {
    if (typeof dim === 'number') return dim;
    throw new RopewalkError(`${who} needs a static shape, but the shape is ${shapeText(shape)}.`);
  });
}

/** Two shapes broadcast together as in NumPy, or undefined when they cannot be. */
export function broadcastShapes(a: Shape, b: Shape): Dim[] | undefined {
  const rank = Math.max(a.length, b.length);
  const shape: Dim[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const left = a[a.length - rank + axis] ?? 1;
    const right = b[b.length - rank + axis] ?? 1;
    if (sameDim(left, right) || right === 1) shape.push(left);
    else if (left === 1) shape.push(right);
    else return undefined;
  }
  return shape;
}
