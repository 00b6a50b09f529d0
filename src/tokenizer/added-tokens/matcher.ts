/** A node of a trie of UTF-16 units. */
interface TrieNode {
  readonly children: Map<number, TrieNode>;
  id: number;
}

/** A match of a pattern in a text. */
export interface PatternMatch {
  readonly start: number;
  readonly end: number;
  readonly id: number;
}

/** Finds patterns in a text: from left to right, the longest at each position. */
export class Matcher {
  readonly #root: TrieNode = { children: new Map(), id: -1 };
  /** The units with which patterns begin. */
  #first: RegExp | undefined;

  /** @returns false if the pattern already exists */
  add(pattern: string, id: number): boolean {
    let node = this.#root;
    for (let i = 0; i < pattern.length; i++) {
      const unit = pattern.charCodeAt(i);
      let next = node.children.get(unit);
      if (!next) {
        next = { children: new Map(), id: -1 };
        node.children.set(unit, next);
      }
      node = next;
    }
    if (node.id >= 0) return false;
    node.id = id;
    return true;
  }

  get isEmpty(): boolean {
    return this.#root.children.size === 0;
  }

  /**
   * The first match from a position on; undefined if there is none.
   *
   * @param allows rejects matches: a shorter or later one is then used instead
   */
  find(text: string, from: number, allows?: (match: PatternMatch) => boolean): PatternMatch | undefined {
    this.#first ??= new RegExp(`[${[...this.#root.children.keys()].map(escapeUnit).join('')}]`, 'g');
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
      node = node.children.get(text.charCodeAt(at));
      if (!node) return best;
      if (node.id < 0) continue;
      const match = { start, end: at + 1, id: node.id };
      if (!allows || allows(match)) best = match;
    }
  }
}

function escapeUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}
