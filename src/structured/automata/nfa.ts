import { RopewalkError } from '../../errors.ts';
import { BACKSLASH, EXIT, QUOTE, type StringDfa, Table } from './dfa.ts';
import { Obligations } from './obligations.ts';
import type { Assertion, Pattern, Ranges } from './pattern.ts';

const MOST_NFA_STATES = 40_000;
/** Limit on the edges visited while building a pattern's states: about a second of work. */
const MOST_WORK = 20_000_000;
const TOO_LONG = 'it takes too long to prepare; make it smaller';

/** A nondeterministic automaton under construction. */
class Nfa {
  readonly free: number[][] = [];
  readonly asserted: { readonly assertion: Assertion; readonly to: number }[][] = [];
  readonly edges: [low: number, high: number, to: number][][] = [];
  readonly inside: boolean[] = [];

  state(inside: boolean): number {
    if (this.free.length >= MOST_NFA_STATES) {
      throw new RopewalkError('it has too many repetitions and classes; make it smaller');
    }
    this.free.push([]);
    this.asserted.push([]);
    this.edges.push([]);
    this.inside.push(inside);
    return this.free.length - 1;
  }

  /** Adds a pattern that begins at a state; returns its end state. */
  add(pattern: Pattern, from: number): number {
    if ('sequence' in pattern) return pattern.sequence.reduce((at, part) => this.add(part, at), from);
    if ('set' in pattern) return this.#addSet(pattern.set, from);
    const end = this.state(false);
    if ('begins' in pattern || 'ahead' in pattern) {
      this.asserted[from]!.push({ assertion: pattern, to: end });
      return end;
    }
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
      // A separate state, so that nothing loops back to the exit.
      const next = this.state(false);
      this.free[at]!.push(next);
      at = this.add(pattern.repeat, next);
    }
    this.free[at]!.push(end);
    return end;
  }

  #addSet(set: Ranges, from: number): number {
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

/** How JSON encodes the characters of a set, as sequences of byte ranges. Only what must be escaped is. */
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

/** Splits a range of code points into products of byte ranges. */
function* utf8(low: number, high: number): Generator<ByteRange[]> {
  for (const last of [0x7f, 0x7ff, 0xffff]) {
    if (low <= last && last < high) {
      yield* utf8(low, last);
      yield* utf8(last + 1, high);
      return;
    }
  }
  const bytes = high <= 0x7f ? 1 : high <= 0x7ff ? 2 : high <= 0xffff ? 3 : 4;
  // All trailing bytes after the first one that differs must span their whole range.
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

/**
 * The automaton of a pattern, by the subset construction. Each path carries the look-aheads that it passed
 * (`Obligations`): a member of a subset is a state and a set of these, combined into one number.
 *
 * @param budget the work left for the whole pattern, including its look-aheads.
 * @throws RopewalkError if it would be too large.
 */
export function patternDfa(pattern: Pattern, single: Uint8Array, budget = { work: MOST_WORK }): StringDfa {
  const nfa = new Nfa();
  const start = nfa.state(false);
  const end = nfa.add(pattern, start);
  const states = nfa.free.length;
  const obligations = new Obligations(
    (ahead) => patternDfa(ahead, new Uint8Array(256).fill(1), budget),
    budget,
  );
  const table = new Table();
  const sets: number[][] = [];
  const known = new Map<string, number>();
  const stateOf = (seeds: readonly number[], begins: boolean): number => {
    const set = new Set(seeds);
    for (const member of set) {
      const state = member % states;
      for (const next of nfa.free[state]!) set.add(member - state + next);
      for (const { assertion, to } of nfa.asserted[state]!) {
        if ('ahead' in assertion) {
          set.add(obligations.with(Math.floor(member / states), assertion) * states + to);
        } else if (begins) set.add(member - state + to);
      }
      if (set.size > MOST_NFA_STATES) throw new RopewalkError('it has too many lookaheads; make it smaller');
    }
    const sorted = [...set].sort((a, b) => a - b);
    budget.work -= 4 * sorted.length;
    if (budget.work < 0) throw new RopewalkError(TOO_LONG);
    const key = sorted.join();
    const old = known.get(key);
    if (old !== undefined) return old;
    const state = table.add(!nfa.inside[seeds[0]! % states]);
    if (sorted.some((m) => m % states === end && obligations.met(Math.floor(m / states)))) {
      table.set(state, QUOTE, QUOTE, EXIT);
    }
    known.set(key, state);
    sets.push(sorted);
    return state;
  };
  stateOf([start], true);
  for (let state = 0; state < sets.length; state++) {
    const edges = sets[state]!.flatMap((member) => {
      const owed = Math.floor(member / states);
      return nfa.edges[member % states]!.map(([low, high, to]) => ({ low, high, to, owed }));
    });
    // Look-aheads may distinguish bytes within a range.
    const cuts = edges.some(({ owed }) => owed > 0)
      ? Array.from({ length: 257 }, (_, byte) => byte)
      : [...new Set(edges.flatMap(({ low, high }) => [low, high + 1]))].sort((a, b) => a - b);
    for (let i = 0; i + 1 < cuts.length; i++) {
      const low = cuts[i]!;
      budget.work -= edges.length;
      if (budget.work < 0) throw new RopewalkError(TOO_LONG);
      const targets = new Set<number>();
      for (const edge of edges) {
        if (edge.low > low || edge.high < low) continue;
        const owed = obligations.after(edge.owed, low);
        if (owed !== undefined) targets.add(owed * states + edge.to);
      }
      if (targets.size > 0) table.set(state, low, cuts[i + 1]! - 1, stateOf([...targets], false));
    }
  }
  return table.finish(0, single);
}

/**
 * Patterns whose conjunction is equivalent: look-aheads at the beginning, and the rest; each makes a smaller
 * automaton.
 */
export function conjuncts(pattern: Pattern): Pattern[] {
  if (!('sequence' in pattern)) return [pattern];
  const first = pattern.sequence.findIndex((part) => !('ahead' in part) || part.negative);
  if (first <= 0) return [pattern];
  const aheads = pattern.sequence.slice(0, first) as { ahead: Pattern }[];
  return [...aheads.map(({ ahead }) => ahead), { sequence: pattern.sequence.slice(first) }];
}
