/** A match of a pattern in a text. */
export interface PatternMatch {
  readonly start: number;
  readonly end: number;
  readonly id: number;
}

/** Finds patterns in a text: from left to right, the longest at each position. */
export class Matcher {
  readonly #ids: ReadonlyMap<string, number>;
  /** In the order of their units. */
  readonly #patterns: readonly string[];
  /** The units with which patterns begin. */
  readonly #first: RegExp;

  /** @param patterns distinct texts that are not empty, each with its id */
  constructor(patterns: readonly (readonly [pattern: string, id: number])[]) {
    this.#ids = new Map(patterns);
    this.#patterns = [...this.#ids.keys()].sort();
    const units = new Set(this.#patterns.map((pattern) => pattern.charCodeAt(0)));
    this.#first = new RegExp(`[${[...units].map(escapeUnit).join('')}]`, 'g');
  }

  get isEmpty(): boolean {
    return this.#patterns.length === 0;
  }

  /**
   * The first match from a position on; undefined if there is none.
   *
   * @param allows rejects matches: a shorter or later one is then used instead
   */
  find(text: string, from: number, allows?: (match: PatternMatch) => boolean): PatternMatch | undefined {
    for (let start = from; start < text.length; start++) {
      this.#first.lastIndex = start;
      const first = this.#first.exec(text);
      if (!first) return undefined;
      start = first.index;
      const match = this.#longest(text, start, allows);
      if (match) return match;
    }
    return undefined;
  }

  #longest(
    text: string,
    start: number,
    allows: ((match: PatternMatch) => boolean) | undefined,
  ): PatternMatch | undefined {
    const patterns = this.#patterns;
    let best: PatternMatch | undefined;
    // The patterns that begin with the text from `start` up to `end`; one that ends there is the first of them.
    let low = 0;
    let high = patterns.length;
    for (let end = start; end < text.length; ) {
      const unit = text.charCodeAt(end);
      const depth = end - start;
      low = firstFrom(patterns, low, high, depth, unit);
      high = firstFrom(patterns, low, high, depth, unit + 1);
      if (low === high) return best;
      end++;
      const pattern = patterns[low]!;
      if (pattern.length !== depth + 1) continue;
      const match = { start, end, id: this.#ids.get(pattern)! };
      if (!allows || allows(match)) best = match;
    }
    return best;
  }
}

/**
 * The first of the sorted patterns `[low, high)`, equal up to `depth`, whose unit there is `unit` or a higher one; a
 * pattern that ends there comes before all of them.
 */
function firstFrom(
  patterns: readonly string[],
  low: number,
  high: number,
  depth: number,
  unit: number,
): number {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (patterns[middle]!.charCodeAt(depth) >= unit) high = middle;
    else low = middle + 1;
  }
  return low;
}

function escapeUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}
