import { RopewalkError } from '../../errors.ts';

/** A byte without a transition. */
export const DEAD = -1;
/** The quotation mark that ends the string. */
export const EXIT = -2;

export const QUOTE = 0x22;
export const BACKSLASH = 0x5c;
const MOST_STATES = 8192;

let count = 0;

/**
 * A deterministic automaton over UTF-8 bytes for the text between a JSON string's quotation marks. Every state can
 * reach the end.
 */
export class StringDfa {
  /** Distinguishes automata in keys. */
  readonly id = count++;
  /** The state at the beginning of a string. */
  readonly start: number;
  /** `[state · 256 + byte]` → state, DEAD or EXIT. */
  readonly table: Int16Array;
  /** The least number of bytes from each state to the end of the string, including the quotation mark. */
  readonly distance: Int32Array;
  /** Whether a state is between two characters. */
  readonly boundary: Uint8Array;

  /** Cached per state: the tokens that may follow. */
  readonly memo: unknown[] = [];

  /** @param single whether the vocabulary has a token for a single byte: only these count as ways to the end. */
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

  /** Whether it accepts a string's bytes (one character each) as JSON writes them. */
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
export class Table {
  readonly #rows: Int16Array[] = [];
  readonly #boundaries: number[] = [];

  add(boundary: boolean): number {
    if (this.#rows.length >= MOST_STATES) {
      throw new RopewalkError(`it needs more than ${MOST_STATES} states; make it or its lengths smaller`);
    }
    this.#rows.push(new Int16Array(256).fill(DEAD));
    this.#boundaries.push(boundary ? 1 : 0);
    return this.#rows.length - 1;
  }

  set(from: number, low: number, high: number, to: number): void {
    this.#rows[from]!.fill(to, low, high + 1);
  }

  row(state: number): Int16Array {
    return this.#rows[state]!;
  }

  finish(start: number, single: Uint8Array): StringDfa {
    const table = new Int16Array(this.#rows.length * 256);
    this.#rows.forEach((row, i) => {
      table.set(row, i * 256);
    });
    return new StringDfa(table, Uint8Array.from(this.#boundaries), start, single);
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

/** Any string, with all JSON escapes; escaped surrogates come in pairs. */
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
  const afterBackslash = table.add(false);
  table.set(boundary, BACKSLASH, BACKSLASH, afterBackslash);
  for (const character of '"\\/bfnrt') table.set(afterBackslash, code(character), code(character), boundary);
  const unicode = table.add(false);
  table.set(afterBackslash, code('u'), code('u'), unicode);
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
 * Any string without escapes other than these: the keys that `additionalProperties` allows.
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
  // A state on a name's path continues like the ordinary state at its character, except for the next bytes of names.
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
