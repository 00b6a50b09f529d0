/** A match of a pattern in a text. */
export interface PatternMatch {
  readonly start: number;
  readonly end: number;
  readonly id: number;
}

/** Finds patterns in a text: from left to right, the longest at each position. */
export class Matcher {
  readonly #ids = new Map<string, number>();
  /** In the order of their units; sorted when a text is first searched. */
  #patterns: readonly string[] | undefined;
  /** The units with which patterns begin. */
  #first: RegExp | undefined;

  /** @returns false if the pattern already exists */
  add(pattern: string, id: number): boolean {
    if (this.#ids.has(pattern)) return false;
    this.#ids.set(pattern, id);
    this.#patterns = undefined;
    this.#first = undefined;
    return true;
  }

  get isEmpty(): boolean {
    return this.#ids.size === 0;
  }

  /**
   * The first match from a position on; undefined if there is none.
   *
   * @param allows rejects matches: a shorter or later one is then used instead
   */
  find(text: string, from: number, allows?: (match: PatternMatch) => boolean): PatternMatch | undefined {
    this.#first ??= this.#firstUnits();
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
    this.#patterns ??= [...this.#ids.keys()].sort();
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

  #firstUnits(): RegExp {
    const units = new Set([...this.#ids.keys()].map((pattern) => pattern.charCodeAt(0)));
    return new RegExp(`[${[...units].map(escapeUnit).join('')}]`, 'g');
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
