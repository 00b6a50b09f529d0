import { RopewalkError } from '../../errors.ts';
import { BACKSLASH, EXIT, QUOTE, type StringDfa, Table } from './dfa.ts';
import { ANY, type Pattern, type Ranges } from './pattern.ts';

const MOST_NFA_STATES = 40_000;
/** Edges looked at while states are made: a second's work. */
const MOST_WORK = 20_000_000;

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
  return Array.from(JSON.stringify(String.fromCharCode(character)).slice(1, -1), (c) => {
    const byte = c.charCodeAt(0);
    return [byte, byte];
  });
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
