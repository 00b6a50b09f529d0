import { codePointAt, encodeInto, textOf } from './utf8-bytes.ts';

/** Hashes are numbers in this base modulo 2^32, so that those of a token's parts follow from those of its prefixes. */
const BASE = 0x01000193;

/** The numbers of a token's record. */
const HASH = 0;
const START = 1;
const LENGTH = 2;
const ID = 3;

/** Extends the hash of some bytes by one more. */
export function hashByte(hash: number, byte: number): number {
  return (Math.imul(hash, BASE) + byte + 1) | 0;
}

/** A place in a table from a hash: the high bits mixed in. */
function spread(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}

/** Collects distinct tokens for a {@link TokenTable}. */
export class TokenTableBuilder {
  #bytes: Uint8Array;
  #records: Int32Array;
  #count = 0;
  #end = 0;

  /**
   * @param capacity bytes of all tokens together, if known; more may be added.
   * @param count tokens, if known; more may be added.
   */
  constructor(capacity = 2 ** 20, count = 2 ** 15) {
    this.#bytes = new Uint8Array(capacity);
    this.#records = new Int32Array(4 * count);
  }

  /** Appends a token: the bytes `[start, end)` of valid UTF-8. */
  add(from: Uint8Array, start: number, end: number, id: number): void {
    const length = end - start;
    if (this.#end + length > this.#bytes.length) {
      this.#bytes = grown(this.#bytes, Math.max(2 * this.#bytes.length, this.#end + length));
    }
    const bytes = this.#bytes;
    let to = this.#end;
    let hash = 0;
    for (let at = start; at < end; at++) {
      const byte = from[at]!;
      bytes[to++] = byte;
      hash = (Math.imul(hash, BASE) + byte + 1) | 0;
    }
    const at = 4 * this.#count++;
    if (at === this.#records.length) this.#records = grown(this.#records, 2 * at + 64);
    const records = this.#records;
    records[at + HASH] = hash;
    records[at + START] = this.#end;
    records[at + LENGTH] = length;
    records[at + ID] = id;
    this.#end = to;
  }

  /** @returns undefined if two tokens have the same text or the same id, or if most ids below the highest are unused. */
  build(): TokenTable | undefined {
    const count = this.#count;
    const records = this.#records.subarray(0, 4 * count);
    let highest = -1;
    for (let at = ID; at < records.length; at += 4) if (records[at]! > highest) highest = records[at]!;
    if (highest >= 2 * count + 1024) return undefined;
    const places = new Int32Array(highest + 1);
    for (let place = 0; place < count; place++) {
      const id = records[4 * place + ID]!;
      if (places[id] !== 0) return undefined;
      places[id] = place + 1;
    }
    const bytes = this.#bytes.subarray(0, this.#end);
    const slots = slotsOf(bytes, records);
    return slots && new TokenTable({ bytes, records, places, slots });
  }
}

/** What a {@link TokenTable} consists of. */
export interface TokenArrays {
  /** The tokens' UTF-8, one after another. */
  readonly bytes: Uint8Array;
  /** Four numbers per token: its hash, where its bytes begin, how many there are, its id. */
  readonly records: Int32Array;
  /** One more than the place of an id; 0 if there is none. */
  readonly places: Int32Array;
  /** One more than a token's place by hash, with open addressing; 0 in a free slot. */
  readonly slots: Int32Array;
}

/** The number of slots for so many tokens: a power of two, and at least half of them stay free. */
export function slotCount(tokens: number): number {
  let size = 16;
  while (size < 2 * tokens) size *= 2;
  return size;
}

/** The hash table of tokens; undefined if two are the same. */
function slotsOf(bytes: Uint8Array, records: Int32Array): Int32Array | undefined {
  const slots = new Int32Array(slotCount(records.length >> 2));
  const mask = slots.length - 1;
  for (let at = 0; at < records.length; at += 4) {
    const hash = records[at + HASH]!;
    const start = records[at + START]!;
    const length = records[at + LENGTH]!;
    let slot = spread(hash) & mask;
    for (; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const other = 4 * slots[slot]! - 4;
      const isAlike = records[other + HASH] === hash && records[other + LENGTH] === length;
      if (isAlike && areEqual(bytes, records[other + START]!, bytes, start, length)) return undefined;
    }
    slots[slot] = (at >> 2) + 1;
  }
  return slots;
}

function areEqual(a: Uint8Array, startOfA: number, b: Uint8Array, startOfB: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[startOfA + i] !== b[startOfB + i]) return false;
  return true;
}

/**
 * Tokens with distinct texts and distinct ids, as UTF-8 in one array with a hash table in another: 256,000 tokens
 * take neither as many strings nor a `Map`, and a text becomes a string only when it is asked for. A place is a
 * token's position in the order in which tokens were added.
 */
export class TokenTable {
  readonly arrays: TokenArrays;
  readonly #bytes: Uint8Array;
  readonly #records: Int32Array;
  readonly #places: Int32Array;
  readonly #slots: Int32Array;
  readonly #mask: number;
  /** By place; those that were asked for. */
  #texts: string[] | undefined;
  #lookup = new Uint8Array(256);
  #cuts: CutHashes | undefined;

  /** See {@link TokenTableBuilder}. */
  constructor(arrays: TokenArrays) {
    this.arrays = arrays;
    this.#bytes = arrays.bytes;
    this.#records = arrays.records;
    this.#places = arrays.places;
    this.#slots = arrays.slots;
    this.#mask = arrays.slots.length - 1;
  }

  get size(): number {
    return this.#records.length >> 2;
  }

  /** All ids are distinct. */
  get unique(): boolean {
    return true;
  }

  /** The highest id; -1 if there are no tokens. */
  get highestId(): number {
    return this.#places.length - 1;
  }

  /** The id of the token that is the bytes `[start, end)`; -1 if there is none. @param hash see {@link hashByte} */
  find(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    for (let slot = spread(hash) & mask; ; slot = (slot + 1) & mask) {
      const at = 4 * slots[slot]! - 4;
      if (at < 0) return -1;
      if (this.#is(at, hash, bytes, start, end - start)) return this.#records[at + ID]!;
    }
  }

  /** Whether the token of a record has these bytes. */
  #is(at: number, hash: number, bytes: Uint8Array, start: number, length: number): boolean {
    const records = this.#records;
    return (
      records[at + HASH] === hash &&
      records[at + LENGTH] === length &&
      areEqual(this.#bytes, records[at + START]!, bytes, start, length)
    );
  }

  /** The record of an id that exists. */
  #at(id: number): number {
    return 4 * this.#places[id]! - 4;
  }

  /** Whether the token of an id is the bytes `[leftStart, leftEnd)` followed by `[rightStart, rightEnd)`. */
  isJoined(
    id: number,
    bytes: Uint8Array,
    leftStart: number,
    leftEnd: number,
    rightStart: number,
    rightEnd: number,
  ): boolean {
    if (id < 0 || id >= this.#places.length) return false;
    const at = this.#at(id);
    const leftLength = leftEnd - leftStart;
    const rightLength = rightEnd - rightStart;
    if (at < 0 || this.#records[at + LENGTH] !== leftLength + rightLength) return false;
    const start = this.#records[at + START]!;
    return (
      areEqual(this.#bytes, start, bytes, leftStart, leftLength) &&
      areEqual(this.#bytes, start + leftLength, bytes, rightStart, rightLength)
    );
  }

  /** The id of the token that two tokens form; -1 if there is none. @param guess tried first, and the next id */
  join(left: number, right: number, guess: number): number {
    const records = this.#records;
    const bytes = this.#bytes;
    const l = this.#at(left);
    const r = this.#at(right);
    const leftStart = records[l + START]!;
    const leftLength = records[l + LENGTH]!;
    const rightStart = records[r + START]!;
    const rightLength = records[r + LENGTH]!;
    const length = leftLength + rightLength;
    for (let tried = guess + 1; tried >= guess && tried >= 0; tried--) {
      const at = tried < this.#places.length ? this.#at(tried) : -1;
      if (at < 0 || records[at + LENGTH] !== length) continue;
      const start = records[at + START]!;
      if (!areEqual(this.#bytes, start, bytes, leftStart, leftLength)) continue;
      if (areEqual(this.#bytes, start + leftLength, bytes, rightStart, rightLength)) return tried;
    }
    if (length > this.#lookup.length) this.#lookup = new Uint8Array(2 * length);
    const lookup = this.#lookup;
    let hash = records[l + HASH]!;
    for (let i = 0; i < leftLength; i++) lookup[i] = bytes[leftStart + i]!;
    for (let i = 0; i < rightLength; i++) {
      const byte = bytes[rightStart + i]!;
      lookup[leftLength + i] = byte;
      hash = (Math.imul(hash, BASE) + byte + 1) | 0;
    }
    return this.find(lookup, 0, length, hash);
  }

  /** Calls back with the ids of every pair of tokens that forms a token, the shortest left part first. */
  eachCut(id: number, found: (left: number, right: number) => void): void {
    const at = this.#at(id);
    const bytes = this.#bytes;
    const start = this.#records[at + START]!;
    const end = start + this.#records[at + LENGTH]!;
    const whole = this.#records[at + HASH]!;
    this.#cuts ??= new CutHashes(this.#records);
    const cuts = this.#cuts;
    cuts.reserve(end - start);
    let left = 0;
    for (let cut = start + 1; cut < end; cut++) {
      left = hashByte(left, bytes[cut - 1]!);
      // Within a character.
      if ((bytes[cut]! & 0xc0) === 0x80 || !cuts.has(left)) continue;
      const right = (whole - Math.imul(left, cuts.powers[end - cut]!)) | 0;
      if (!cuts.has(right)) continue;
      const leftId = this.find(bytes, start, cut, left);
      if (leftId < 0) continue;
      const rightId = this.find(bytes, cut, end, right);
      if (rightId >= 0) found(leftId, rightId);
    }
  }

  /** The number of characters of the token of an id. */
  characters(id: number): number {
    const at = this.#at(id);
    const start = this.#records[at + START]!;
    const end = start + this.#records[at + LENGTH]!;
    let count = 0;
    for (let i = start; i < end; i++) if ((this.#bytes[i]! & 0xc0) !== 0x80) count++;
    return count;
  }

  id(token: string): number | undefined {
    if (3 * token.length > this.#lookup.length) this.#lookup = new Uint8Array(6 * token.length);
    const end = encodeInto(token, this.#lookup);
    if (end < 0) return undefined;
    let hash = 0;
    for (let i = 0; i < end; i++) hash = (Math.imul(hash, BASE) + this.#lookup[i]! + 1) | 0;
    const id = this.find(this.#lookup, 0, end, hash);
    return id < 0 ? undefined : id;
  }

  token(id: number): string | undefined {
    const place = (this.#places[id] ?? 0) - 1;
    return place < 0 ? undefined : this.#text(place);
  }

  #text(place: number): string {
    const start = this.#records[4 * place + START]!;
    const length = this.#records[4 * place + LENGTH]!;
    this.#texts ??= new Array(this.size);
    this.#texts[place] ??= textOf(this.#bytes, start, start + length);
    return this.#texts[place];
  }

  /** The code point with which a token begins; 0 for the empty token. */
  firstCharacter(id: number): number {
    const at = this.#at(id);
    return this.#records[at + LENGTH] === 0 ? 0 : codePointAt(this.#bytes, this.#records[at + START]!);
  }

  /** The code point with which a token ends; 0 for the empty token. */
  lastCharacter(id: number): number {
    const record = this.#at(id);
    const length = this.#records[record + LENGTH]!;
    if (length === 0) return 0;
    let at = this.#records[record + START]! + length - 1;
    while ((this.#bytes[at]! & 0xc0) === 0x80) at--;
    return codePointAt(this.#bytes, at);
  }

  /** In the order in which the tokens were added. */
  *entries(): IterableIterator<[string, number]> {
    for (let place = 0; place < this.size; place++) yield [this.#text(place), this.#records[4 * place + ID]!];
  }
}

/** What it takes to look up all parts of tokens. */
class CutHashes {
  /** One bit per hash: rejects most texts that are not tokens, and fits in a processor's cache. */
  readonly #seen: Uint8Array;
  readonly #mask: number;
  /** Powers of the base. */
  powers = new Int32Array(0);

  constructor(records: Int32Array) {
    let bits = 1024;
    while (bits < 4 * records.length) bits *= 2;
    this.#mask = bits - 1;
    this.#seen = new Uint8Array(bits >> 3);
    for (let at = HASH; at < records.length; at += 4) {
      const bit = spread(records[at]!) & this.#mask;
      this.#seen[bit >> 3]! |= 1 << (bit & 7);
    }
  }

  /** Whether there may be a token with a hash. */
  has(hash: number): boolean {
    const bit = spread(hash) & this.#mask;
    return (this.#seen[bit >> 3]! & (1 << (bit & 7))) !== 0;
  }

  /** Makes powers for texts of so many bytes. */
  reserve(length: number): void {
    if (length < this.powers.length) return;
    const powers = new Int32Array(2 * length + 64).fill(1);
    for (let i = 1; i < powers.length; i++) powers[i] = Math.imul(powers[i - 1]!, BASE);
    this.powers = powers;
  }
}

function grown<T extends Uint8Array | Int32Array>(array: T, length: number): T {
  const larger = new (array.constructor as new (length: number) => T)(length);
  larger.set(array);
  return larger;
}
