import { RopewalkError } from '../../errors.ts';

/** Code points from … to, both included, in ascending order without overlap. */
export type Ranges = readonly (readonly [number, number])[];

/** A regular language over code points. */
export type Pattern =
  | { readonly set: Ranges }
  | { readonly sequence: readonly Pattern[] }
  | { readonly either: readonly Pattern[] }
  | { readonly repeat: Pattern; readonly least: number; readonly most: number }
  | Assertion;

/** What must hold between two characters without taking any. */
export type Assertion =
  /** Nothing stands before. */
  | { readonly begins: true }
  /** All that follows, to the end of the string, is of a language; `negative`: is not. */
  | { readonly ahead: Pattern; readonly negative: boolean };

const LAST = 0x10ffff;
export const ANY: Ranges = [[0, LAST]];
const DIGIT: Ranges = [[48, 57]];
const WORD: Ranges = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const LINE_ENDS: Ranges = [
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
];
const ANYTHING: Pattern = { repeat: { set: ANY }, least: 0, most: Number.POSITIVE_INFINITY };
const NOTHING_FOLLOWS: Pattern = {
  ahead: { sequence: [{ set: ANY }, ANYTHING] },
  negative: true,
};
const MOST_DEPTH = 50;
const MOST_LOOK_AHEADS = 16;
const CONTROL: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11 };

export function complement(ranges: Ranges): Ranges {
  const rest: [number, number][] = [];
  let next = 0;
  for (const [from, to] of ranges) {
    if (from > next) rest.push([next, from - 1]);
    next = to + 1;
  }
  if (next <= LAST) rest.push([next, LAST]);
  return rest;
}

export function union(...all: readonly Ranges[]): Ranges {
  const merged: [number, number][] = [];
  for (const [from, to] of all.flat().sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}

const byProperty = new Map<string, Ranges>();

/** The code points for which a class such as `\p{L}` holds: JavaScript itself is asked. */
function propertyRanges(name: string): Ranges {
  const known = byProperty.get(name);
  if (known) return known;
  const matches = new RegExp(`^${name}$`, 'u');
  const ranges: [number, number][] = [];
  for (let code = 0; code <= LAST; code++) {
    if (!matches.test(String.fromCodePoint(code))) continue;
    const last = ranges.at(-1);
    if (last && last[1] === code - 1) last[1] = code;
    else ranges.push([code, code]);
  }
  byProperty.set(name, ranges);
  return ranges;
}

/**
 * Reads a JSON Schema `pattern` (ECMAScript, with the u flag; it may match anywhere in the string) into the language of
 * the strings that hold it. The pattern is never run, so none can take exponential time.
 *
 * @throws RopewalkError for what is not regular or not read here: look-behind, back references and \b.
 */
export function parsePattern(source: string): Pattern {
  try {
    new RegExp(source, 'u');
  } catch {
    throw new RopewalkError(
      'it is not a regular expression (ECMAScript, u flag: escape ], { and } outside classes, and do not escape letters)',
    );
  }
  return new PatternReader(source).read();
}

class PatternReader {
  readonly #source: string[];
  #at = 0;
  #depth = 0;
  #lookAheads = 0;

  constructor(source: string) {
    this.#source = Array.from(source);
  }

  /** `RegExp` has accepted the text: only what is outside the subset needs an error. */
  read(): Pattern {
    return this.#untilEnd(true);
  }

  /**
   * Alternatives, each with what may follow it up to the string's end, and (`whole`) with what may stand before it.
   * Anchors at their ends are the common case: with these nothing is added.
   */
  #untilEnd(whole: boolean): Pattern {
    const either: Pattern[] = [];
    do {
      const fromStart = !whole || this.#take('^');
      const body = this.#sequence(true);
      const toEnd = this.#take('$');
      either.push({ sequence: [...(fromStart ? [] : [ANYTHING]), ...body, ...(toEnd ? [] : [ANYTHING])] });
    } while (this.#take('|'));
    return either.length === 1 ? either[0]! : { either };
  }

  #refuse(what: string): never {
    throw new RopewalkError(`${what} is not supported; write it with classes, groups, | and repetition`);
  }

  #take(character: string): boolean {
    if (this.#source[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #disjunction(): Pattern {
    const either: Pattern[] = [];
    do either.push({ sequence: this.#sequence(false) });
    while (this.#take('|'));
    return either.length === 1 ? either[0]! : { either };
  }

  /** @param outermost whether a `$` at its end is left to the caller. */
  #sequence(outermost: boolean): Pattern[] {
    const sequence: Pattern[] = [];
    for (;;) {
      const next = this.#source[this.#at];
      if (next === undefined || next === '|' || next === ')') return sequence;
      if (outermost && next === '$' && [undefined, '|', ')'].includes(this.#source[this.#at + 1])) {
        return sequence;
      }
      sequence.push(this.#quantified(this.#atom()));
    }
  }

  #quantified(repeat: Pattern): Pattern {
    let [least, most] = [1, 1];
    if (this.#take('*')) [least, most] = [0, Number.POSITIVE_INFINITY];
    else if (this.#take('+')) [least, most] = [1, Number.POSITIVE_INFINITY];
    else if (this.#take('?')) [least, most] = [0, 1];
    else if (this.#take('{')) {
      least = this.#integer();
      most = least;
      if (this.#take(',')) most = this.#source[this.#at] === '}' ? Number.POSITIVE_INFINITY : this.#integer();
      this.#take('}');
    } else return repeat;
    this.#take('?'); // Lazy or not, the language is the same.
    return { repeat, least, most };
  }

  #integer(): number {
    let digits = '';
    while (/^[0-9]$/.test(this.#source[this.#at] ?? '')) digits += this.#source[this.#at++];
    return Number(digits);
  }

  #atom(): Pattern {
    const character = this.#source[this.#at++]!;
    switch (character) {
      case '(':
        return this.#group();
      case '[':
        return { set: this.#characterClass() };
      case '.':
        return { set: complement(LINE_ENDS) };
      case '\\':
        return { set: this.#escape() };
      case '^':
        return { begins: true };
      case '$':
        return NOTHING_FOLLOWS;
      default:
        return { set: single(character.codePointAt(0)!) };
    }
  }

  #group(): Pattern {
    if (++this.#depth > MOST_DEPTH)
      throw new RopewalkError(`its groups are nested deeper than ${MOST_DEPTH}`);
    const inner = this.#inGroup();
    this.#at++; // The parenthesis that closes it: `RegExp` has seen it.
    this.#depth--;
    return inner;
  }

  #inGroup(): Pattern {
    if (!this.#take('?')) return this.#disjunction();
    const negative = this.#source[this.#at] === '!';
    if (negative || this.#source[this.#at] === '=') {
      if (++this.#lookAheads > MOST_LOOK_AHEADS) {
        throw new RopewalkError(`it has more than ${MOST_LOOK_AHEADS} lookaheads`);
      }
      this.#at++;
      return { ahead: this.#untilEnd(false), negative };
    }
    if (this.#take('<')) {
      if (this.#source[this.#at] === '=' || this.#source[this.#at] === '!') this.#refuse('a look-behind');
      while (!this.#take('>')) this.#at++;
    } else if (!this.#take(':')) this.#refuse('(? with flags');
    return this.#disjunction();
  }

  #characterClass(): Ranges {
    const negated = this.#take('^');
    const parts: Ranges[] = [];
    while (!this.#take(']')) {
      const low = this.#classMember();
      if (this.#source[this.#at] === '-' && this.#source[this.#at + 1] !== ']') {
        this.#at++;
        parts.push([[low[0]![0], this.#classMember()[0]![0]]]);
      } else parts.push(low);
    }
    const all = union(...parts);
    return negated ? complement(all) : all;
  }

  #classMember(): Ranges {
    const character = this.#source[this.#at++]!;
    if (character !== '\\') return single(character.codePointAt(0)!);
    if (this.#take('b')) return single(8);
    if (this.#take('-')) return single(45);
    return this.#escape();
  }

  /** What follows a backslash. */
  #escape(): Ranges {
    const character = this.#source[this.#at++]!;
    switch (character) {
      case 'd':
        return DIGIT;
      case 'D':
        return complement(DIGIT);
      case 'w':
        return WORD;
      case 'W':
        return complement(WORD);
      case 's':
      case 'S':
        return propertyRanges(`\\${character}`);
      case 'p':
      case 'P': {
        const end = this.#source.indexOf('}', this.#at);
        const name = this.#source.slice(this.#at, end + 1).join('');
        this.#at = end + 1;
        return propertyRanges(`\\${character}${name}`);
      }
      case 'c':
        return single(this.#source[this.#at++]!.charCodeAt(0) % 32);
      case 'x':
        return single(this.#hexadecimal(2));
      case 'u':
        return single(this.#codeUnit());
      case '0':
        return single(0);
      case 'b':
      case 'B':
        return this.#refuse(`\\${character}`);
      default:
        if (/^[1-9k]$/.test(character)) return this.#refuse('a backreference');
        return single(CONTROL[character] ?? character.codePointAt(0)!);
    }
  }

  #hexadecimal(digits: number): number {
    const text = this.#source.slice(this.#at, this.#at + digits).join('');
    this.#at += digits;
    return Number.parseInt(text, 16);
  }

  /** `\u{…}`, `\uXXXX`, or a surrogate pair of two of these. */
  #codeUnit(): number {
    if (this.#take('{')) {
      const end = this.#source.indexOf('}', this.#at);
      const code = this.#hexadecimal(end - this.#at);
      this.#at++;
      return code;
    }
    const high = this.#hexadecimal(4);
    const next = this.#source.slice(this.#at, this.#at + 6).join('');
    if (high >= 0xd800 && high < 0xdc00 && /^\\u[dD][c-fC-F]/.test(next)) {
      this.#at += 6;
      return String.fromCharCode(high, Number.parseInt(next.slice(2), 16)).codePointAt(0)!;
    }
    return high;
  }
}

function single(code: number): Ranges {
  return [[code, code]];
}
