/** A node of a trie of UTF-16 units: the patterns `[low, high)` in their order, which begin with the same `depth` units. */
interface TrieNode {
  readonly low: number;
  readonly high: number;
  readonly depth: number;
  /** Of the pattern that ends here; -1 if none does. */
  readonly id: number;
  /** By the next unit; made when a text first comes here, which it does at few of thousands of patterns. */
  children: ReadonlyMap<number, TrieNode> | undefined;
}

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
  readonly #root: TrieNode;
  /** The units with which patterns begin. */
  readonly #first: RegExp;

  /** @param patterns distinct texts that are not empty, each with its id */
  constructor(patterns: readonly (readonly [pattern: string, id: number])[]) {
    this.#ids = new Map(patterns);
    this.#patterns = [...this.#ids.keys()].sort();
    this.#root = { low: 0, high: this.#patterns.length, depth: 0, id: -1, children: undefined };
    const units = [...this.#childrenOf(this.#root).keys()];
    this.#first = new RegExp(`[${units.map(escapeUnit).join('')}]`, 'g');
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
    let node: TrieNode | undefined = this.#root;
    let best: PatternMatch | undefined;
    for (let at = start; ; at++) {
      node = this.#childrenOf(node).get(text.charCodeAt(at));
      if (!node) return best;
      if (node.id < 0) continue;
      const match = { start, end: at + 1, id: node.id };
      if (!allows || allows(match)) best = match;
    }
  }

  #childrenOf(node: TrieNode): ReadonlyMap<number, TrieNode> {
    node.children ??= this.#makeChildren(node);
    return node.children;
  }

  #makeChildren({ low, high, depth, id }: TrieNode): Map<number, TrieNode> {
    const children = new Map<number, TrieNode>();
    const patterns = this.#patterns;
    // The pattern that ends here is the first of them.
    for (let from = id < 0 ? low : low + 1; from < high; ) {
      const first = patterns[from]!;
      const unit = first.charCodeAt(depth);
      let to = from + 1;
      while (to < high && patterns[to]!.charCodeAt(depth) === unit) to++;
      const ending = first.length === depth + 1 ? this.#ids.get(first)! : -1;
      children.set(unit, { low: from, high: to, depth: depth + 1, id: ending, children: undefined });
      from = to;
    }
    return children;
  }
}

function escapeUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}
