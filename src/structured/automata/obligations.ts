import { RopewalkError } from '../../errors.ts';
import { EXIT, QUOTE, type StringDfa } from './dfa.ts';
import type { Pattern } from './pattern.ts';

/** A look-ahead of a pattern. */
interface LookAhead {
  readonly ahead: Pattern;
  readonly negative: boolean;
}

const MOST_SETS = 4096;

/**
 * What look-aheads still require of the rest of a string: numbered sets of automata with their states; 0 is the empty
 * set.
 */
export class Obligations {
  readonly #automata = new Map<LookAhead, number>();
  readonly #dfas: { readonly dfa: StringDfa; readonly negative: boolean }[] = [];
  /** The automata and states of each set, in ascending order. */
  readonly #sets: (readonly (readonly [automaton: number, state: number])[])[] = [[]];
  readonly #numbers = new Map<string, number>([['', 0]]);
  readonly #next = new Map<number, number | undefined>();

  readonly #automatonOf: (ahead: Pattern) => StringDfa;
  readonly #budget: { work: number };

  /** @param budget the work left for the whole pattern. */
  constructor(automatonOf: (ahead: Pattern) => StringDfa, budget: { work: number }) {
    this.#automatonOf = automatonOf;
    this.#budget = budget;
  }

  /** A set plus a look-ahead that begins here. */
  with(set: number, lookAhead: LookAhead): number {
    let automaton = this.#automata.get(lookAhead);
    if (automaton === undefined) {
      automaton = this.#dfas.length;
      this.#dfas.push({ dfa: this.#automatonOf(lookAhead.ahead), negative: lookAhead.negative });
      this.#automata.set(lookAhead, automaton);
    }
    return this.#number([...this.#sets[set]!, [automaton, this.#dfas[automaton]!.dfa.start]]);
  }

  /** The set after a byte; undefined if one of its look-aheads can no longer be satisfied. */
  after(set: number, byte: number): number | undefined {
    if (set === 0) return 0;
    const key = set * 256 + byte;
    if (this.#next.has(key)) return this.#next.get(key);
    const result = this.#step(set, byte);
    this.#next.set(key, result);
    return result;
  }

  /** Whether all are satisfied if the string ends here. */
  met(set: number): boolean {
    return this.#sets[set]!.every(([automaton, state]) => {
      const { dfa, negative } = this.#dfas[automaton]!;
      return (dfa.table[state * 256 + QUOTE] === EXIT) !== negative;
    });
  }

  #step(set: number, byte: number): number | undefined {
    const left: [number, number][] = [];
    for (const [automaton, state] of this.#sets[set]!) {
      const { dfa, negative } = this.#dfas[automaton]!;
      const to = dfa.table[state * 256 + byte]!;
      if (to >= 0) left.push([automaton, to]);
      else if (!negative) return undefined;
    }
    return this.#number(left);
  }

  #number(members: readonly (readonly [number, number])[]): number {
    this.#budget.work -= 20 * (1 + members.length);
    const sorted = [...members].sort(([a, s], [b, t]) => a - b || s - t);
    const unique = sorted.filter(
      ([a, s], i) => i === 0 || a !== sorted[i - 1]![0] || s !== sorted[i - 1]![1],
    );
    const key = unique.join(' ');
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    if (this.#sets.length >= MOST_SETS) {
      throw new RopewalkError('its lookaheads have too many states together; make it smaller');
    }
    this.#sets.push(unique);
    this.#numbers.set(key, this.#sets.length - 1);
    return this.#sets.length - 1;
  }
}
