const SPACE = 0x20;
const NEWLINE = 0x0a;
/** Spaces that may follow a line break: eight levels of indentation by two, and never without end. */
const MOST_INDENT = 16;
/** Ways to read the text so far that are followed at once; of more, the cheapest. */
const MOST_READINGS = 64;

/**
 * A place in the text, with all that is open around it: what has been read of a value, and its `parent`, the place
 * after that value. Places are shared, so that the same place is the same object (numbers aside).
 */
export abstract class Position {
  /** Least number of tokens to the end of the text. */
  abstract readonly cost: number;
  /** Where a byte may lead: to several places when it is not yet clear which alternative this is. */
  abstract step(byte: number): readonly Position[];
  /** Whether this is inside a fixed text. */
  readonly literal: boolean = false;
  /** Whether a value behind this place may begin on a line of its own. */
  readonly lines: boolean = false;
  /** What was worked out for this place: tokens that may follow here. */
  memo: unknown;
  #inner: Map<object | number, unknown> | undefined;

  /** Something that exists once for this place and `key`. */
  shared<T>(key: object | number, make: () => T): T {
    this.#inner ??= new Map();
    const known = this.#inner.get(key);
    if (known !== undefined) return known as T;
    const made = make();
    this.#inner.set(key, made);
    return made;
  }
}

/** All places that a byte leads to from several. */
export function advance(positions: readonly Position[], byte: number): readonly Position[] {
  if (positions.length === 1) return positions[0]!.step(byte);
  const next: Position[] = [];
  for (const position of positions) {
    for (const to of position.step(byte)) if (!next.includes(to)) next.push(to);
  }
  return cheapest(next);
}

/** The least cost of several places; Infinity for none. */
export function leastCost(positions: readonly Position[]): number {
  let least = Number.POSITIVE_INFINITY;
  for (const { cost } of positions) least = Math.min(least, cost);
  return least;
}

/**
 * Of many places the cheapest: each of them can be ended, so that leaving some out is safe. Literals come first: their
 * cost counts whole tokens, and inside a token it is no measure.
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

/** White space so far: 0 none, 1 a space, 2 … a line break and spaces. Returns −1 when no more may come. */
export function whitespace(state: number, byte: number, lines: boolean): number {
  if (byte === SPACE) {
    if (state === 0) return 1;
    if (state >= 2 && state < 2 + MOST_INDENT) return state + 1;
  } else if (byte === NEWLINE && state === 0 && lines) return 2;
  return -1;
}

/** Whether a byte is white space that may come somewhere. */
export function isSpace(byte: number): boolean {
  return byte === SPACE || byte === NEWLINE;
}
