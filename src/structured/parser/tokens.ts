import { DEAD, EXIT, type StringDfa } from '../automata/dfa.ts';
import { advance, leastCost, type Position } from './position.ts';
import type { InString } from './scalars.ts';
import { ByteTrie, type Vocabulary } from './vocabulary.ts';

/** Tokens that may follow, and the least cost to end the text after each. */
export interface Followers {
  readonly ids: Int32Array;
  readonly costs: Float64Array;
}

/** Tokens that end a string, with the number of characters that they begin before its end. */
interface StringEnds extends Followers {
  readonly begun: Int32Array;
}

/** The behavior of the vocabulary's tokens in a state of a string's automaton, whatever surrounds the string. */
interface StringTokens {
  /** Tokens that stay inside the string, also as bits. */
  readonly ids: Int32Array;
  readonly bits: Uint32Array;
  /** Characters that each begins, and the distance to the end of the string after it. */
  readonly begun: Uint16Array;
  readonly distances: Int32Array;
  readonly mostBegun: number;
  readonly mostDistance: number;
  /** The text of tokens after the quotation mark that ends the string, and the tokens. */
  readonly rests: ByteTrie;
  readonly restTokens: readonly EndingToken[][];
  /** Tokens that end with that mark. */
  readonly ending: readonly EndingToken[];
}

interface EndingToken {
  readonly id: number;
  readonly begun: number;
}

/** Tokens that may follow a position; computed once for each. */
export function followers(position: Position, { trie, ids }: Vocabulary): Followers {
  if (!position.memo) {
    const found: number[] = [];
    const costs: number[] = [];
    walk(trie, position, (word, cost) => {
      for (const id of ids[word]!) {
        found.push(id);
        costs.push(cost);
      }
    });
    position.memo = { ids: Int32Array.from(found), costs: Float64Array.from(costs) };
  }
  return position.memo as Followers;
}

/** Traverses the words of a trie that may follow a position. */
function walk(trie: ByteTrie, from: Position, visit: (word: number, cost: number) => void): void {
  const { bytes, depths, ends, words } = trie;
  const path: (readonly Position[])[] = [];
  for (let node = 0; node < bytes.length; ) {
    const depth = depths[node]!;
    const next = advance(depth === 0 ? [from] : path[depth - 1]!, bytes[node]!);
    if (next.length === 0) {
      node = ends[node]!;
      continue;
    }
    if (words[node]! >= 0) visit(words[node]!, leastCost(next));
    path[depth] = next;
    node++;
  }
}

/** Adds the tokens that may follow inside a string and leave a cost of at most `budget`. */
export function addStringTokens(
  bits: Uint32Array,
  at: InString,
  budget: number,
  vocabulary: Vocabulary,
): void {
  const { dfa, state, count, least, most, parent } = at;
  const tokens = stringTokens(dfa, state, vocabulary);
  const missing = Math.max(0, least - count);
  if (
    count + tokens.mostBegun <= most &&
    tokens.mostDistance + missing + parent.cost <= budget &&
    tokens.ids.length > 0
  ) {
    for (let i = 0; i < tokens.bits.length; i++) bits[i]! |= tokens.bits[i]!;
  } else {
    const { ids, begun, distances } = tokens;
    for (let i = 0; i < ids.length; i++) {
      const characters = count + begun[i]!;
      if (characters > most) continue;
      if (distances[i]! + Math.max(0, least - characters) + parent.cost <= budget) setBit(bits, ids[i]!);
    }
  }
  const ends = parent.shared(dfa.id * 65536 + state, () => stringEnds(tokens, parent));
  for (let i = 0; i < ends.ids.length; i++) {
    const characters = count + ends.begun[i]!;
    if (characters >= least && characters <= most && ends.costs[i]! <= budget) setBit(bits, ends.ids[i]!);
  }
}

export function setBit(bits: Uint32Array, id: number): void {
  bits[id >>> 5]! |= 1 << (id & 31);
}

function stringTokens(dfa: StringDfa, from: number, vocabulary: Vocabulary): StringTokens {
  const known = dfa.memo[from] as StringTokens | undefined;
  if (known) return known;
  const { bytes, depths, ends, words } = vocabulary.trie;
  const states = new Int16Array(vocabulary.longest);
  const begunAt = new Uint16Array(vocabulary.longest);
  const ids = new Int32Array(vocabulary.tokens);
  const begun = new Uint16Array(vocabulary.tokens);
  const distances = new Int32Array(vocabulary.tokens);
  let inside = 0;
  let [mostBegun, mostDistance] = [0, 0];
  const ending: EndingToken[] = [];
  const rests = new Map<string, EndingToken[]>();
  const cross = (node: number, depth: number, characters: number) => {
    for (let inner = node; inner < ends[node]!; inner++) {
      const word = words[inner]!;
      if (word < 0) continue;
      const rest = vocabulary.words[word]!.slice(depth + 1);
      const list = rest === '' ? ending : (rests.get(rest) ?? []);
      if (rest !== '') rests.set(rest, list);
      for (const id of vocabulary.ids[word]!) list.push({ id, begun: characters });
    }
  };
  for (let node = 0; node < bytes.length; ) {
    const depth = depths[node]!;
    const state = depth === 0 ? from : states[depth - 1]!;
    const before = depth === 0 ? 0 : begunAt[depth - 1]!;
    const next = dfa.table[state * 256 + bytes[node]!]!;
    if (next === EXIT) cross(node, depth, before);
    if (next === DEAD || next === EXIT) {
      node = ends[node]!;
      continue;
    }
    states[depth] = next;
    const characters = before + dfa.boundary[state]!;
    begunAt[depth] = characters;
    if (words[node]! >= 0) {
      const distance = dfa.distance[next]!;
      mostBegun = Math.max(mostBegun, characters);
      mostDistance = Math.max(mostDistance, distance);
      for (const id of vocabulary.ids[words[node]!]!) {
        ids[inside] = id;
        begun[inside] = characters;
        distances[inside++] = distance;
      }
    }
    node++;
  }
  const bits = new Uint32Array(vocabulary.bitWords);
  for (let i = 0; i < inside; i++) setBit(bits, ids[i]!);
  const sorted = [...rests.keys()].sort();
  const tokens: StringTokens = {
    ids: ids.slice(0, inside),
    bits,
    begun: begun.slice(0, inside),
    distances: distances.slice(0, inside),
    mostBegun,
    mostDistance,
    rests: new ByteTrie(sorted),
    restTokens: sorted.map((rest) => rests.get(rest)!),
    ending,
  };
  dfa.memo[from] = tokens;
  return tokens;
}

/** The tokens that end a string and continue as its surroundings allow. */
function stringEnds({ ending, rests, restTokens }: StringTokens, parent: Position): StringEnds {
  const ids = ending.map(({ id }) => id);
  const begun = ending.map((token) => token.begun);
  const costs = ending.map(() => parent.cost);
  walk(rests, parent, (rest, cost) => {
    for (const token of restTokens[rest]!) {
      ids.push(token.id);
      begun.push(token.begun);
      costs.push(cost);
    }
  });
  return { ids: Int32Array.from(ids), begun: Int32Array.from(begun), costs: Float64Array.from(costs) };
}
