const SPACE = 0x20;
const NEWLINE = 0x0a;
/** The most spaces after a line break, eight levels of indentation by two, so that they end. */
const MOST_INDENT = 16;
/** How many readings of the text so far are followed in parallel; beyond that, only the cheapest. */
const MOST_READINGS = 64;

/**
 * A position in the text, with everything that is open around it: what has been read of a value, and its `parent`,
 * the position after that value. Positions are shared, so that equal positions are the same object (except in
 * numbers).
 */
export abstract class Position {
  /** The least number of tokens to the end of the text. */
  abstract readonly cost: number;
  /** The positions after a byte: several while it is not yet clear which alternative this is. */
  abstract step(byte: number): readonly Position[];
  /** Whether this is inside a fixed text. */
  readonly literal: boolean = false;
  /** Whether a value after this position may begin on a new line. */
  readonly lines: boolean = false;
  /** Cached for this position: the tokens that may follow. */
  memo: unknown;
  #inner: Map<object | number, unknown> | undefined;

  /** Returns an object that is created once for this position and `key`. */
  shared<T>(key: object | number, make: () => T): T {
    this.#inner ??= new Map();
    const known = this.#inner.get(key);
    if (known !== undefined) return known as T;
    const made = make();
    this.#inner.set(key, made);
    return made;
  }
}

/** All positions that a byte leads to from several positions. */
export function advance(positions: readonly Position[], byte: number): readonly Position[] {
  if (positions.length === 1) return positions[0]!.step(byte);
  const next: Position[] = [];
  for (const position of positions) {
    for (const to of position.step(byte)) if (!next.includes(to)) next.push(to);
  }
  return cheapest(next);
}

/** The least cost of several positions; Infinity for none. */
export function leastCost(positions: readonly Position[]): number {
  let least = Number.POSITIVE_INFINITY;
  for (const { cost } of positions) least = Math.min(least, cost);
  return least;
}

/**
 * The cheapest of many positions: each of them can be completed, so omitting some is safe. Literals come first: their
 * cost counts whole tokens, and is meaningless inside a token.
 */
export function cheapest(positions: readonly Position[]): readonly Position[] {
  if (positions.length <= MOST_READINGS) return positions;
  const rank = (position: Position) => (position.literal ? 0 : 1);
  return [...positions].sort((a, b) => rank(a) - rank(b) || a.cost - b.cost).slice(0, MOST_READINGS);
}

/** After the whole text. */
export class Done extends Position {
  readonly cost = 0;

  step(): readonly Position[] {
    return [];
  }
}

/** White space so far: 0 none, 1 a space, 2 … a line break and spaces. Returns −1 if no more is allowed. */
export function whitespace(state: number, byte: number, lines: boolean): number {
  if (byte === SPACE) {
    if (state === 0) return 1;
    if (state >= 2 && state < 2 + MOST_INDENT) return state + 1;
  } else if (byte === NEWLINE && state === 0 && lines) return 2;
  return -1;
}

/** Whether a byte can be white space anywhere. */
export function isSpace(byte: number): boolean {
  return byte === SPACE || byte === NEWLINE;
}
