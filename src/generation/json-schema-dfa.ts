import { RopewalkError } from '../errors.ts';
import { ANY, type Pattern, type Ranges } from './json-schema-pattern.ts';

/** A byte for which there is no way on. */
export const DEAD = -1;
/** The quotation mark that ends the string. */
export const EXIT = -2;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MOST_STATES = 4096;
const MOST_NFA_STATES = 40_000;
/** Edges looked at while states are made: a second's work. */
const MOST_WORK = 20_000_000;

let count = 0;

/**
 * What may be written between a JSON string's quotation marks, as a deterministic automaton over UTF-8 bytes. From
 * each of its states some bytes lead to the end.
 */
export class StringDfa {
  /** Distinguishes automata in keys. */
  readonly id = count++;
  /** Where a string begins. */
  readonly start: number;
  /** `[state · 256 + byte]` → state, DEAD or EXIT. */
  readonly table: Int16Array;
  /** Least number of bytes from each state to the string's end, the quotation mark included. */
  readonly distance: Int32Array;
  /** Whether a state lies between two characters. */
  readonly boundary: Uint8Array;

  /** What was worked out for each state: the tokens that may come there. */
  readonly memo: unknown[] = [];

  /** @param single whether the vocabulary has a token for a byte alone: only these count as ways to the end. */
  constructor(table: Int16Array, boundary: Uint8Array, start: number, single: Uint8Array) {
    this.table = table;
    this.boundary = boundary;
    this.start = start;
    this.distance = distances(table, boundary.length, single);
    for (let i = 0; i < table.length; i++) {
      if (table[i]! >= 0 && this.distance[table[i]!] === UNREACHABLE) table[i] = DEAD;
    }
  }

  /** Whether there is no string at all. */
  get empty(): boolean {
    return this.distance[this.start] === UNREACHABLE;
  }

  /** Whether it takes a string's bytes (a character each) as JSON writes it. */
  takes(bytes: string): boolean {
    let state = this.start;
    for (let i = 0; i < bytes.length && state >= 0; i++) {
      state = this.table[state * 256 + bytes.charCodeAt(i)]!;
    }
    return state >= 0 && this.table[state * 256 + QUOTE] === EXIT;
  }
}

const UNREACHABLE = 0x7fffffff;

function distances(table: Int16Array, states: number, single: Uint8Array): Int32Array {
  const before: number[][] = Array.from({ length: states }, () => []);
  const distance = new Int32Array(states).fill(UNREACHABLE);
  const queue: number[] = [];
  for (let state = 0; state < states; state++) {
    if (table[state * 256 + QUOTE] === EXIT) {
      distance[state] = 1;
      queue.push(state);
    }
    for (let byte = 0; byte < 256; byte++) {
      const next = table[state * 256 + byte]!;
      if (next >= 0 && single[byte] && before[next]!.at(-1) !== state) before[next]!.push(state);
    }
  }
  for (const state of queue) {
    for (const previous of before[state]!) {
      if (distance[previous] !== UNREACHABLE) continue;
      distance[previous] = distance[state]! + 1;
      queue.push(previous);
    }
  }
  return distance;
}

/** Builds automata state by state. */
class Table {
  private readonly rows: Int16Array[] = [];
  private readonly boundaries: number[] = [];

  add(boundary: boolean): number {
    if (this.rows.length >= MOST_STATES) {
      throw new RopewalkError(`it needs more than ${MOST_STATES} states; make it or its lengths smaller`);
    }
    this.rows.push(new Int16Array(256).fill(DEAD));
    this.boundaries.push(boundary ? 1 : 0);
    return this.rows.length - 1;
  }

  set(from: number, low: number, high: number, to: number): void {
    this.rows[from]!.fill(to, low, high + 1);
  }

  row(state: number): Int16Array {
    return this.rows[state]!;
  }

  finish(start: number, single: Uint8Array): StringDfa {
    const table = new Int16Array(this.rows.length * 256);
    this.rows.forEach((row, i) => {
      table.set(row, i * 256);
    });
    return new StringDfa(table, Uint8Array.from(this.boundaries), start, single);
  }
}

/** The states inside a raw UTF-8 character that ends in `boundary` (Unicode 17, table 3-7). */
function addUtf8(table: Table, boundary: number): void {
  const one = table.add(false);
  const two = table.add(false);
  const three = table.add(false);
  const tail = (low: number, high: number, to: number) => {
    const state = table.add(false);
    table.set(state, low, high, to);
    return state;
  };
  table.set(one, 0x80, 0xbf, boundary);
  table.set(two, 0x80, 0xbf, one);
  table.set(three, 0x80, 0xbf, two);
  table.set(boundary, 0xc2, 0xdf, one);
  table.set(boundary, 0xe0, 0xef, two);
  table.set(boundary, 0xe0, 0xe0, tail(0xa0, 0xbf, one));
  table.set(boundary, 0xed, 0xed, tail(0x80, 0x9f, one));
  table.set(boundary, 0xf1, 0xf3, three);
  table.set(boundary, 0xf0, 0xf0, tail(0x90, 0xbf, two));
  table.set(boundary, 0xf4, 0xf4, tail(0x80, 0x8f, two));
}

/** Any string, with every escape that JSON has; escaped surrogates come in pairs. */
export function anyString(single: Uint8Array): StringDfa {
  const table = new Table();
  const boundary = table.add(true);
  table.set(boundary, 0x20, 0x7f, boundary);
  table.set(boundary, QUOTE, QUOTE, EXIT);
  addUtf8(table, boundary);
  const hexadecimal = (from: number, to: number) => {
    for (const [low, high] of ['09', 'af', 'AF']) table.set(from, code(low!), code(high!), to);
  };
  const digits = (amount: number, to: number) => {
    let next = to;
    for (let i = 0; i < amount; i++) {
      const state = table.add(false);
      hexadecimal(state, next);
      next = state;
    }
    return next;
  };
  const escape = table.add(false);
  table.set(boundary, BACKSLASH, BACKSLASH, escape);
  for (const character of '"\\/bfnrt') table.set(escape, code(character), code(character), boundary);
  const unicode = table.add(false);
  table.set(escape, code('u'), code('u'), unicode);
  hexadecimal(unicode, digits(3, boundary));
  // \ud8xx to \udbxx, then \udcxx to \udfxx
  const [afterD, lowEscape, lowU, lowD, lowSecond] = [0, 0, 0, 0, 0].map(() => table.add(false)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  for (const d of 'dD') {
    table.set(unicode, code(d), code(d), afterD);
    table.set(lowD, code(d), code(d), lowSecond);
  }
  table.set(afterD, code('0'), code('7'), digits(2, boundary));
  const high = digits(2, lowEscape);
  table.set(afterD, code('8'), code('9'), high);
  for (const [low, last] of ['ab', 'AB']) table.set(afterD, code(low!), code(last!), high);
  table.set(lowEscape, BACKSLASH, BACKSLASH, lowU);
  table.set(lowU, code('u'), code('u'), lowD);
  const lowDigits = digits(2, boundary);
  for (const [low, last] of ['cf', 'CF']) table.set(lowSecond, code(low!), code(last!), lowDigits);
  return table.finish(boundary, single);
}

function code(character: string): number {
  return character.charCodeAt(0);
}

/**
 * Any string without escapes other than these: the keys that `additionalProperties` may have.
 *
 * @param names bytes of strings as JSON writes them.
 */
export function anyStringBut(names: readonly string[], single: Uint8Array): StringDfa {
  const table = new Table();
  const boundary = table.add(true);
  table.set(boundary, 0x20, 0x7f, boundary);
  table.set(boundary, QUOTE, QUOTE, EXIT);
  table.set(boundary, BACKSLASH, BACKSLASH, DEAD);
  addUtf8(table, boundary);
  const start = table.add(true);
  table.row(start).set(table.row(boundary));
  const like = new Map([[start, boundary]]);
  // A state on a name's path goes on as its character's place would, but for the next bytes of names.
  for (const name of names) {
    let state = start;
    for (let i = 0; i < name.length && !name.includes('\\'); i++) {
      const byte = name.charCodeAt(i);
      const plain = table.row(like.get(state)!)[byte]!;
      let next = table.row(state)[byte]!;
      if (next === plain) {
        next = table.add(plain === boundary);
        table.row(next).set(table.row(plain));
        like.set(next, plain);
        table.set(state, byte, byte, next);
      }
      state = next;
    }
    if (!name.includes('\\')) table.set(state, QUOTE, QUOTE, DEAD);
  }
  return table.finish(start, single);
}

/** A nondeterministic automaton while it is built from a pattern. */
class Nfa {
  readonly free: number[][] = [];
  readonly edges: [low: number, high: number, to: number][][] = [];
  readonly inside: boolean[] = [];

  state(inside: boolean): number {
    if (this.free.length >= MOST_NFA_STATES) {
      throw new RopewalkError('its repetitions and classes are too many; make it smaller');
    }
    this.free.push([]);
    this.edges.push([]);
    this.inside.push(inside);
    return this.free.length - 1;
  }

  /** Adds a pattern that begins at a state; returns where it ends. */
  add(pattern: Pattern, from: number): number {
    if ('sequence' in pattern) return pattern.sequence.reduce((at, part) => this.add(part, at), from);
    if ('set' in pattern) return this.addSet(pattern.set, from);
    const end = this.state(false);
    if ('either' in pattern) {
      for (const part of pattern.either) this.free[this.add(part, from)]!.push(end);
      return end;
    }
    let at = from;
    for (let i = 0; i < pattern.least; i++) at = this.add(pattern.repeat, at);
    if (pattern.most === Number.POSITIVE_INFINITY) {
      const loop = this.state(false);
      this.free[at]!.push(loop);
      this.free[this.add(pattern.repeat, loop)]!.push(loop);
      this.free[loop]!.push(end);
      return end;
    }
    for (let i = pattern.least; i < pattern.most; i++) {
      this.free[at]!.push(end);
      // A state of its own, so that nothing loops back to where the way out was.
      const next = this.state(false);
      this.free[at]!.push(next);
      at = this.add(pattern.repeat, next);
    }
    this.free[at]!.push(end);
    return end;
  }

  private addSet(set: Ranges, from: number): number {
    const end = this.state(false);
    const shared = new Map<string, number>();
    for (const sequence of encodings(set)) {
      let at = from;
      sequence.forEach(([low, high], i) => {
        const rest = sequence.slice(i + 1);
        const key = JSON.stringify(rest);
        let to = rest.length === 0 ? end : shared.get(key);
        const isNew = to === undefined;
        to ??= this.state(true);
        if (isNew) shared.set(key, to);
        const known = this.edges[at]!.some(([a, b, c]) => a === low && b === high && c === to);
        if (!known) this.edges[at]!.push([low, high, to]);
        at = to;
      });
    }
    return end;
  }
}

type ByteRange = [low: number, high: number];

/** How JSON writes the characters of a set: sequences of byte ranges. Only what must be escaped is. */
function* encodings(set: Ranges): Generator<ByteRange[]> {
  for (const [from, to] of set) {
    for (let c = from; c <= Math.min(to, 0x1f); c++) yield escaped(c);
    for (const c of [QUOTE, BACKSLASH]) if (from <= c && c <= to) yield escaped(c);
    const raw: [number, number][] = [
      [0x20, QUOTE - 1],
      [QUOTE + 1, BACKSLASH - 1],
      [BACKSLASH + 1, 0xd7ff],
      [0xe000, 0x10ffff],
    ];
    for (const [low, high] of raw) {
      if (Math.max(low, from) <= Math.min(high, to)) yield* utf8(Math.max(low, from), Math.min(high, to));
    }
  }
}

function escaped(character: number): ByteRange[] {
  return Array.from(JSON.stringify(String.fromCharCode(character)).slice(1, -1), (c) => [code(c), code(c)]);
}

/** A range of code points as products of byte ranges. */
function* utf8(low: number, high: number): Generator<ByteRange[]> {
  for (const last of [0x7f, 0x7ff, 0xffff]) {
    if (low <= last && last < high) {
      yield* utf8(low, last);
      yield* utf8(last + 1, high);
      return;
    }
  }
  const bytes = high <= 0x7f ? 1 : high <= 0x7ff ? 2 : high <= 0xffff ? 3 : 4;
  // All trailing bytes but the first that differ must run over their whole range.
  for (let tail = 1; tail < bytes; tail++) {
    const mask = 2 ** (6 * tail) - 1;
    if ((low & ~mask) === (high & ~mask)) continue;
    const cut = (low & mask) !== 0 ? (low | mask) + 1 : (high & mask) !== mask ? high & ~mask : undefined;
    if (cut !== undefined) {
      yield* utf8(low, cut - 1);
      yield* utf8(cut, high);
      return;
    }
  }
  const encode = (c: number) => new TextEncoder().encode(String.fromCodePoint(c));
  const [first, last] = [encode(low), encode(high)];
  yield Array.from(first, (byte, i) => [byte, last[i]!]);
}

/** The automaton of a pattern, by the subset construction. @throws RopewalkError when it would be too large. */
export function patternDfa(pattern: Pattern, single: Uint8Array): StringDfa {
  const nfa = new Nfa();
  const start = nfa.state(false);
  const end = nfa.add(pattern, start);
  const table = new Table();
  const sets: number[][] = [];
  const known = new Map<string, number>();
  let work = 0;
  const stateOf = (seeds: readonly number[]): number => {
    const set = new Set(seeds);
    for (const state of set) for (const next of nfa.free[state]!) set.add(next);
    const sorted = [...set].sort((a, b) => a - b);
    work += sorted.length;
    const key = sorted.join();
    const old = known.get(key);
    if (old !== undefined) return old;
    const state = table.add(!nfa.inside[seeds[0]!]);
    if (set.has(end)) table.set(state, QUOTE, QUOTE, EXIT);
    known.set(key, state);
    sets.push(sorted);
    return state;
  };
  stateOf([start]);
  for (let state = 0; state < sets.length; state++) {
    const edges = sets[state]!.flatMap((member) => nfa.edges[member]!);
    const cuts = [...new Set(edges.flatMap(([low, high]) => [low, high + 1]))].sort((a, b) => a - b);
    for (let i = 0; i + 1 < cuts.length; i++) {
      const low = cuts[i]!;
      work += edges.length;
      if (work > MOST_WORK) throw new RopewalkError('it takes too long to prepare; make it smaller');
      const targets = edges.filter(([from, to]) => from <= low && low <= to).map(([, , to]) => to);
      if (targets.length > 0) table.set(state, low, cuts[i + 1]! - 1, stateOf([...new Set(targets)]));
    }
  }
  return table.finish(0, single);
}

/** Strings that several automata take, all of them written with the fewest escapes, of so many characters. */
export function intersection(
  parts: readonly StringDfa[],
  least: number,
  most: number,
  single: Uint8Array,
): StringDfa {
  const all =
    parts.length > 0 ? parts : [patternDfa({ repeat: { set: ANY }, least: 0, most: Infinity }, single)];
  if (all.length === 1 && least === 0 && most === Number.POSITIVE_INFINITY) return all[0]!;
  const table = new Table();
  const tuples: number[][] = [];
  const known = new Map<string, number>();
  // Counting ends where it makes no difference any more.
  const cap = most === Number.POSITIVE_INFINITY ? least : most + 1;
  const stateOf = (tuple: number[]): number => {
    const key = tuple.join();
    const old = known.get(key);
    if (old !== undefined) return old;
    const state = table.add(all[0]!.boundary[tuple[0]!] === 1);
    known.set(key, state);
    tuples.push(tuple);
    return state;
  };
  stateOf([...all.map((part) => part.start), 0]);
  for (let state = 0; state < tuples.length; state++) {
    const tuple = tuples[state]!;
    const length = tuple.at(-1)!;
    const begins = all[0]!.boundary[tuple[0]!] === 1 ? 1 : 0;
    for (let byte = 0; byte < 256; byte++) {
      const next = all.map((part, i) => part.table[tuple[i]! * 256 + byte]!);
      if (next.every((to) => to === EXIT)) {
        if (length >= least && length <= most) table.set(state, byte, byte, EXIT);
      } else if (next.every((to) => to >= 0)) {
        const longer = Math.min(cap, length + begins);
        if (longer <= most) table.set(state, byte, byte, stateOf([...next, longer]));
      }
    }
  }
  return table.finish(0, single);
}
