/**
 * A trie over UTF-16 code units. Nodes are numbered in order of creation, the root 0; the edges of all nodes are in
 * one table with open addressing, so 256,000 tokens take neither a million objects nor a second to build.
 */
export class Trie {
  /** Node, code unit and child of each slot; child is 0 in a free one. */
  #slots = new Int32Array(3 * 1024);
  #mask = 1023;
  #nodes = 1;
  #values = new Int32Array(1024).fill(-1);

  /**
   * Sets the value (at least 0) of a text, replacing an earlier one; the empty text belongs to the root and is never
   * found.
   */
  set(text: string, value: number): void {
    let node = 0;
    for (let at = 0; at < text.length; at++) node = this.#childOrNew(node, text.charCodeAt(at));
    this.#values[node] = value;
  }

  /** The child node for a code unit; 0 if there is none. */
  child(node: number, unit: number): number {
    return this.#slots[this.#find(node, unit) + 2]!;
  }

  /** The value of a node's text; -1 if there is none. */
  value(node: number): number {
    return this.#values[node]!;
  }

  #childOrNew(node: number, unit: number): number {
    const at = this.#find(node, unit);
    const known = this.#slots[at + 2]!;
    if (known !== 0) return known;
    const child = this.#nodes++;
    this.#slots[at] = node;
    this.#slots[at + 1] = unit;
    this.#slots[at + 2] = child;
    if (child >= this.#values.length) {
      const grown = new Int32Array(2 * this.#values.length).fill(-1);
      grown.set(this.#values);
      this.#values = grown;
    }
    if (1.5 * this.#nodes > this.#mask) this.#grow();
    return child;
  }

  #find(node: number, unit: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    let hash = Math.imul(node, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const at = 3 * slot;
      if (slots[at + 2] === 0 || (slots[at] === node && slots[at + 1] === unit)) return at;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#mask = 2 * this.#mask + 1;
    this.#slots = new Int32Array(3 * (this.#mask + 1));
    for (let from = 0; from < old.length; from += 3) {
      if (old[from + 2] === 0) continue;
      const at = this.#find(old[from]!, old[from + 1]!);
      this.#slots[at] = old[from]!;
      this.#slots[at + 1] = old[from + 1]!;
      this.#slots[at + 2] = old[from + 2]!;
    }
  }
}
