import { EXIT, type StringDfa, Table } from './dfa.ts';
import { patternDfa } from './nfa.ts';
import { ANY } from './pattern.ts';

/** Limit on the pairs of states examined for one intersection. */
const MOST_PAIRS = 50_000;

/** Whether one automaton accepts only strings that another accepts; false if that would take long to determine. */
function isWithin(inner: StringDfa, outer: StringDfa, budget: { pairs: number }): boolean {
  const width = outer.boundary.length;
  const pairs = new Set([inner.start * width + outer.start]);
  for (const pair of pairs) {
    if (budget.pairs-- <= 0) return false;
    const [from, beside] = [Math.floor(pair / width) * 256, (pair % width) * 256];
    for (let byte = 0; byte < 256; byte++) {
      const to = inner.table[from + byte]!;
      const there = outer.table[beside + byte]!;
      if (to === EXIT ? there !== EXIT : to >= 0 && there < 0) return false;
      if (to >= 0) pairs.add(to * width + there);
    }
  }
  return true;
}

/** Strings that several automata accept, all written with the fewest escapes, with a bounded number of characters. */
export function intersection(
  parts: readonly StringDfa[],
  least: number,
  most: number,
  single: Uint8Array,
): StringDfa {
  // Parts implied by another would only multiply the states.
  let needed = parts;
  const budget = { pairs: MOST_PAIRS };
  for (const part of parts) {
    if (needed.some((other) => other !== part && isWithin(other, part, budget))) {
      needed = needed.filter((other) => other !== part);
    }
  }
  const all =
    needed.length > 0 ? needed : [patternDfa({ repeat: { set: ANY }, least: 0, most: Infinity }, single)];
  if (all.length === 1 && least === 0 && most === Number.POSITIVE_INFINITY) return all[0]!;
  const table = new Table();
  const tuples: number[][] = [];
  const known = new Map<string, number>();
  // Counting stops where it no longer matters.
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
