/** An odd number with well mixed bits: texts are hashed as numbers in this base, modulo 2^32. */
const BASE = 0x01000193;
const EMPTY = -1;

/**
 * Finds all ways to form tokens from two others. Parts are looked up by hashes derived from those of a token's
 * prefixes, without creating their texts: a vocabulary of 256k tokens has two million cuts.
 */
export class TokenCuts {
  readonly #texts: string[] = [];
  readonly #ids: number[] = [];
  /** Positions in `#texts` by hash, with open addressing. */
  readonly #table: Int32Array;
  readonly #hashes: Int32Array;
  /** One bit per hash; rejects most texts that are not tokens, and fits in the processor's cache. */
  readonly #seen: Uint8Array;
  /** Hashes of the current token's prefixes by length, and powers of the base. */
  #beginnings = new Int32Array(64);
  #powers = powersUpTo(64);

  /** @param vocab distinct texts and their ids. */
  constructor(vocab: Iterable<readonly [string, number]>) {
    for (const [text, id] of vocab) {
      this.#texts.push(text);
      this.#ids.push(id);
    }
    const count = this.#texts.length;
    const size = 2 ** Math.ceil(Math.log2(2 * count + 2));
    this.#table = new Int32Array(size).fill(EMPTY);
    this.#hashes = new Int32Array(count);
    this.#seen = new Uint8Array(size);
    for (let i = 0; i < count; i++) {
      const hash = hashOf(this.#texts[i]!);
      this.#hashes[i] = hash;
      const bit = spread(hash) & (8 * size - 1);
      this.#seen[bit >> 3]! |= 1 << (bit & 7);
      let at = spread(hash) & (size - 1);
      while (this.#table[at] !== EMPTY) at = (at + 1) & (size - 1);
      this.#table[at] = i;
    }
  }

  /** Calls back with the ids of every pair that forms a token, the shortest left part first. */
  of(token: string, found: (leftId: number, rightId: number) => void): void {
    const { length } = token;
    if (length >= this.#beginnings.length) {
      this.#beginnings = new Int32Array(2 * length);
      this.#powers = powersUpTo(2 * length);
    }
    const beginnings = this.#beginnings;
    for (let i = 0; i < length; i++)
      beginnings[i + 1] = Math.imul(beginnings[i]!, BASE) + token.charCodeAt(i) + 1;
    const whole = beginnings[length]!;
    for (let cut = 1; cut < length; cut++) {
      // A surrogate pair is one character.
      const code = token.charCodeAt(cut);
      if (code >= 0xdc00 && code <= 0xdfff) continue;
      const left = beginnings[cut]!;
      const leftId = this.#find(left, cut, token, 0);
      if (leftId === EMPTY) continue;
      const right = (whole - Math.imul(left, this.#powers[length - cut]!)) | 0;
      const rightId = this.#find(right, length - cut, token, cut);
      if (rightId !== EMPTY) found(leftId, rightId);
    }
  }

  /** The id of `token[start … start + length]`. */
  #find(hash: number, length: number, token: string, start: number): number {
    const table = this.#table;
    const mask = table.length - 1;
    const place = spread(hash);
    const bit = place & (8 * table.length - 1);
    if ((this.#seen[bit >> 3]! & (1 << (bit & 7))) === 0) return EMPTY;
    for (let at = place & mask; table[at] !== EMPTY; at = (at + 1) & mask) {
      const i = table[at]!;
      if (this.#hashes[i] !== hash) continue;
      const text = this.#texts[i]!;
      if (text.length === length && token.startsWith(text, start)) return this.#ids[i]!;
    }
    return EMPTY;
  }
}

function hashOf(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, BASE) + text.charCodeAt(i) + 1) | 0;
  return hash;
}

/** Positions from hashes, with the high bits mixed in. */
function spread(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), 0x85ebca6b) >>> 3;
}

function powersUpTo(count: number): Int32Array {
  const powers = new Int32Array(count).fill(1);
  for (let i = 1; i < count; i++) powers[i] = Math.imul(powers[i - 1]!, BASE);
  return powers;
}

/** All ways to form a token from two others, as their ids, the shortest left part first. */
export function* cutsOf(
  token: string,
  vocab: Pick<ReadonlyMap<string, number>, 'get'>,
): Generator<readonly [leftId: number, rightId: number]> {
  for (let cut = 1; cut < token.length; cut++) {
    // A surrogate pair is one character.
    const code = token.charCodeAt(cut);
    if (code >= 0xdc00 && code <= 0xdfff) continue;
    const leftId = vocab.get(token.slice(0, cut));
    if (leftId === undefined) continue;
    const rightId = vocab.get(token.slice(cut));
    if (rightId !== undefined) yield [leftId, rightId];
  }
}
