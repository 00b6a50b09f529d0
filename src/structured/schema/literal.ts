import { byteString, type Vocabulary } from '../parser/vocabulary.ts';

const encoder = new TextEncoder();

/** A value's compact JSON, one character per UTF-8 byte. */
export function latin1Json(value: unknown): string {
  return byteString(encoder.encode(JSON.stringify(value)));
}

/** Fixed texts as a trie, with the least number of tokens from each node to the end of a text. */
export class LiteralTrie {
  readonly #children: Map<number, number>[] = [new Map()];
  readonly #ends: boolean[] = [false];
  readonly #costs: number[];

  /** @param texts one character per byte; none is empty. */
  constructor(
    readonly texts: readonly string[],
    vocabulary: Vocabulary,
  ) {
    for (const text of texts) {
      let node = 0;
      for (let i = 0; i < text.length; i++) node = this.#childOrNew(node, text.charCodeAt(i));
      this.#ends[node] = true;
    }
    this.#costs = new Array(this.#ends.length).fill(Number.POSITIVE_INFINITY);
    // Children have higher indices than their parents.
    for (let node = this.#ends.length - 1; node >= 0; node--) {
      this.#costs[node] = this.#ends[node] ? 0 : this.#costByTokens(node, vocabulary);
    }
  }

  /** The node after a byte; undefined if no text continues so. */
  child(node: number, byte: number): number | undefined {
    return this.#children[node]!.get(byte);
  }

  /** Whether a text ends at a node. */
  isEnd(node: number): boolean {
    return this.#ends[node]!;
  }

  /** Whether a text continues from a node. */
  goesOn(node: number): boolean {
    return this.#children[node]!.size > 0;
  }

  /** The least number of tokens from a node to the end of a text; 0 where one ends. */
  cost(node: number): number {
    return this.#costs[node]!;
  }

  /** The least number of tokens, at least one, from a node to the end of a text. */
  costToGoOn(node: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (const child of this.#children[node]!.values()) least = Math.min(least, 1 + this.#costs[child]!);
    return least;
  }

  #childOrNew(node: number, byte: number): number {
    const known = this.#children[node]!.get(byte);
    if (known !== undefined) return known;
    const child = this.#ends.length;
    this.#children[node]!.set(byte, child);
    this.#children.push(new Map());
    this.#ends.push(false);
    return child;
  }

  /** The cost of the best single token along the trie plus the rest from there. */
  #costByTokens(from: number, { trie }: Vocabulary): number {
    let least = Number.POSITIVE_INFINITY;
    const path: number[] = [];
    for (let i = 0; i < trie.bytes.length; ) {
      const depth = trie.depths[i]!;
      const node = this.child(depth === 0 ? from : path[depth - 1]!, trie.bytes[i]!);
      if (node === undefined) {
        i = trie.ends[i]!;
        continue;
      }
      if (trie.words[i]! >= 0) least = Math.min(least, 1 + this.#costs[node]!);
      path[depth] = node;
      i++;
    }
    return least;
  }
}
