import {
  type CharacterTest,
  classTest,
  inOtherCases,
  RegexError,
  type RegexNode,
  widthOf,
} from './regex-nodes.ts';

export interface ParsedRegex {
  readonly node: RegexNode;
  readonly groups: number;
  readonly names: ReadonlyMap<string, number>;
}

interface Flags {
  readonly i: boolean;
  readonly m: boolean;
  readonly s: boolean;
  readonly x: boolean;
  readonly a: boolean;
}

const NO_FLAGS: Flags = { i: false, m: false, s: false, x: false, a: false };
const MAX_DEPTH = 100;
const CONTROL: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11 };

/**
 * Parses a pattern like Python's `re`.
 *
 * @throws RegexError for a pattern that Python refuses, and for conditional groups, which are not supported.
 */
export function parseRegex(pattern: string): ParsedRegex {
  return new Parser([...pattern]).parse();
}

class Parser {
  readonly #text: readonly string[];
  #at = 0;
  #groups = 0;
  #depth = 0;
  readonly #names = new Map<string, number>();
  readonly #open = new Set<number>();

  constructor(text: readonly string[]) {
    this.#text = text;
  }

  parse(): ParsedRegex {
    const flags = this.#globalFlags();
    const node = this.#choice(flags);
    if (this.#at < this.#text.length) this.#fail('unbalanced parenthesis');
    return { node, groups: this.#groups, names: this.#names };
  }

  #globalFlags(): Flags {
    const match = /^\(\?([aimsuxL]+)\)/.exec(this.#text.join(''));
    if (!match) return NO_FLAGS;
    this.#at = match[0].length;
    return this.#withFlags(NO_FLAGS, match[1]!, '');
  }

  #withFlags(flags: Flags, on: string, off: string): Flags {
    if (on.includes('L')) this.#fail('the flag L is for bytes');
    const changed: Record<string, boolean> = { ...flags };
    for (const name of on) if (name !== 'u') changed[name] = true;
    if (on.includes('u')) changed.a = false;
    for (const name of off) changed[name] = false;
    return changed as unknown as Flags;
  }

  #choice(flags: Flags): RegexNode {
    if (++this.#depth > MAX_DEPTH) this.#fail('it nests too deeply');
    const options = [this.#sequence(flags)];
    while (this.#take('|')) options.push(this.#sequence(flags));
    this.#depth--;
    return options.length === 1 ? options[0]! : { type: 'choice', options };
  }

  #sequence(flags: Flags): RegexNode {
    const parts: RegexNode[] = [];
    for (;;) {
      if (flags.x) this.#skipSpace();
      const next = this.#text[this.#at];
      if (next === undefined || next === '|' || next === ')') break;
      const atom = this.#atom(flags);
      if (atom) parts.push(this.#repeated(atom, flags));
    }
    return parts.length === 1 ? parts[0]! : { type: 'sequence', parts };
  }

  #skipSpace(): void {
    while (this.#at < this.#text.length) {
      if (/\s/.test(this.#text[this.#at]!)) this.#at++;
      else if (this.#text[this.#at] === '#') {
        while (this.#at < this.#text.length && this.#text[this.#at] !== '\n') this.#at++;
      } else return;
    }
  }

  #repeated(body: RegexNode, flags: Flags): RegexNode {
    if (flags.x) this.#skipSpace();
    const counts = this.#counts();
    if (!counts) return body;
    const [min, max] = counts;
    if (body.type === 'place' || body.type === 'boundary') this.#fail('nothing to repeat');
    const lazy = this.#take('?');
    const possessive = !lazy && this.#take('+');
    const repeat: RegexNode = { type: 'repeat', body, min, max, greedy: !lazy };
    const again = this.#at;
    if (this.#counts()) {
      this.#at = again;
      this.#fail('multiple repeat');
    }
    return possessive ? { type: 'atomic', body: repeat } : repeat;
  }

  #counts(): readonly [number, number] | undefined {
    if (this.#take('*')) return [0, Number.POSITIVE_INFINITY];
    if (this.#take('+')) return [1, Number.POSITIVE_INFINITY];
    if (this.#take('?')) return [0, 1];
    if (this.#text[this.#at] !== '{') return undefined;
    const match = /^\{(\d*)(,?)(\d*)\}/.exec(this.#text.slice(this.#at, this.#at + 24).join(''));
    // Anything else in braces is text.
    if (!match || (match[1] === '' && match[2] === '')) return undefined;
    this.#at += match[0].length;
    const min = match[1] === '' ? 0 : Number(match[1]);
    const max = match[2] === '' ? min : match[3] === '' ? Number.POSITIVE_INFINITY : Number(match[3]);
    if (max < min) this.#fail('min repeat greater than max repeat');
    return [min, max];
  }

  #atom(flags: Flags): RegexNode | undefined {
    const sign = this.#text[this.#at++]!;
    switch (sign) {
      case '.':
        return { type: 'character', test: flags.s ? () => true : (code) => code !== 10 };
      case '^':
        return { type: 'place', at: flags.m ? 'lineStart' : 'start' };
      case '$':
        return { type: 'place', at: flags.m ? 'lineEnd' : 'end' };
      case '[':
        return { type: 'character', test: this.#set(flags) };
      case '(':
        return this.#group(flags);
      case '\\':
        return this.#escape(flags);
      case '*':
      case '+':
      case '?':
        return this.#fail('nothing to repeat');
      default:
        return { type: 'character', test: exactly(sign.codePointAt(0)!, flags.i) };
    }
  }

  #group(flags: Flags): RegexNode | undefined {
    if (!this.#take('?')) return this.#capture(flags);
    if (this.#take('#')) {
      while (this.#at < this.#text.length && this.#text[this.#at] !== ')') this.#at++;
      this.#close();
      return undefined;
    }
    if (this.#take('P')) {
      if (this.#take('=')) return this.#named(')', flags);
      if (!this.#take('<')) this.#fail('unknown extension ?P');
      return this.#capture(flags, this.#name('>'));
    }
    if (this.#take(':')) return this.#inside(flags);
    if (this.#take('>')) return { type: 'atomic', body: this.#inside(flags) };
    if (this.#take('(')) this.#fail('a conditional group (?(...)) is not supported here');
    const behind = this.#take('<');
    for (const [mark, wanted] of [
      ['=', true],
      ['!', false],
    ] as const) {
      if (!this.#take(mark)) continue;
      const body = this.#inside(flags);
      const [least, most] = widthOf(body);
      if (behind && least !== most) this.#fail('look-behind requires fixed-width pattern');
      return { type: 'look', behind, wanted, body };
    }
    const match = /^([aimsuxL]*)(?:-([imsx]+))?:/.exec(this.#text.slice(this.#at, this.#at + 16).join(''));
    if (behind || !match) this.#fail('unknown extension');
    this.#at += match![0].length;
    return this.#inside(this.#withFlags(flags, match![1]!, match![2] ?? ''));
  }

  #capture(flags: Flags, name?: string): RegexNode {
    const index = ++this.#groups;
    if (name !== undefined) {
      if (this.#names.has(name)) this.#fail(`redefinition of group name ${name}`);
      this.#names.set(name, index);
    }
    this.#open.add(index);
    const body = this.#inside(flags);
    this.#open.delete(index);
    return { type: 'group', index, body };
  }

  #inside(flags: Flags): RegexNode {
    const body = this.#choice(flags);
    this.#close();
    return body;
  }

  #close(): void {
    if (!this.#take(')')) this.#fail('missing ), unterminated subpattern');
  }

  #name(end: string): string {
    const from = this.#at;
    while (this.#at < this.#text.length && this.#text[this.#at] !== end) this.#at++;
    const name = this.#text.slice(from, this.#at++).join('');
    if (!/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name)) this.#fail(`bad group name ${JSON.stringify(name)}`);
    return name;
  }

  #named(end: string, flags: Flags): RegexNode {
    const index = this.#names.get(this.#name(end));
    if (index === undefined) this.#fail('unknown group name');
    return this.#back(index!, flags);
  }

  #back(index: number, flags: Flags): RegexNode {
    if (index > this.#groups || this.#open.has(index)) this.#fail(`invalid group reference ${index}`);
    return { type: 'back', index, ignoreCase: flags.i };
  }

  #escape(flags: Flags): RegexNode {
    const letter = this.#text[this.#at];
    if (letter === undefined) this.#fail('bad escape (end of pattern)');
    if (letter === 'b' || letter === 'B') {
      this.#at++;
      return { type: 'boundary', wanted: letter === 'b', ascii: flags.a };
    }
    if (letter === 'A' || letter === 'Z') {
      this.#at++;
      return { type: 'place', at: letter === 'A' ? 'start' : 'veryEnd' };
    }
    if (/[wWdDsS]/.test(letter!)) {
      this.#at++;
      return { type: 'character', test: classTest(letter!, flags.a) };
    }
    const digits = /^[1-9]\d?/.exec(this.#text.slice(this.#at, this.#at + 3).join(''))?.[0];
    const octal = /^[0-3][0-7]{2}/.test(this.#text.slice(this.#at, this.#at + 3).join(''));
    if (digits && !octal) {
      this.#at += digits.length;
      return this.#back(Number(digits), flags);
    }
    return { type: 'character', test: exactly(this.#code(), flags.i) };
  }

  /** The character after a backslash, inside or outside a set. */
  #code(): number {
    const rest = this.#text.slice(this.#at, this.#at + 9).join('');
    const match = /^(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3}))/.exec(rest);
    if (match) {
      this.#at += match[0].length;
      const octal = match[4];
      const code = octal ? Number.parseInt(octal, 8) : Number.parseInt(match[1] ?? match[2] ?? match[3]!, 16);
      if (code > 0x10ffff) this.#fail('bad escape');
      return code;
    }
    const letter = this.#text[this.#at++]!;
    if (CONTROL[letter] !== undefined) return CONTROL[letter];
    if (/^[a-zA-Z\d]$/.test(letter)) this.#fail(`bad escape \\${letter}`);
    return letter.codePointAt(0)!;
  }

  #set(flags: Flags): CharacterTest {
    const negated = this.#take('^');
    const tests: CharacterTest[] = [];
    for (let first = true; ; first = false) {
      const sign = this.#text[this.#at];
      if (sign === undefined) this.#fail('unterminated character set');
      if (sign === ']' && !first) break;
      const low = this.#member(flags);
      const ranges = this.#text[this.#at] === '-' && this.#text[this.#at + 1] !== ']';
      if (!ranges) {
        tests.push(typeof low === 'number' ? exactly(low, flags.i) : low);
        continue;
      }
      this.#at++;
      const high = this.#member(flags);
      if (typeof low !== 'number' || typeof high !== 'number' || high < low)
        this.#fail('bad character range');
      tests.push(between(low as number, high as number, flags.i));
    }
    this.#at++;
    return negated ? (code) => !tests.some((test) => test(code)) : (code) => tests.some((test) => test(code));
  }

  #member(flags: Flags): number | CharacterTest {
    const sign = this.#text[this.#at++];
    if (sign === undefined) this.#fail('unterminated character set');
    if (sign !== '\\') return sign!.codePointAt(0)!;
    const letter = this.#text[this.#at] ?? '';
    if (!/^[wWdDsS]$/.test(letter)) return this.#code();
    this.#at++;
    return classTest(letter, flags.a);
  }

  #take(sign: string): boolean {
    if (this.#text[this.#at] !== sign) return false;
    this.#at++;
    return true;
  }

  #fail(why: string): never {
    throw new RegexError(`${why} at position ${this.#at}`);
  }
}

function exactly(code: number, ignoreCase: boolean): CharacterTest {
  if (!ignoreCase) return (given) => given === code;
  const cases = inOtherCases(code);
  return (given) => cases.includes(given) || inOtherCases(given).some((one) => cases.includes(one));
}

function between(low: number, high: number, ignoreCase: boolean): CharacterTest {
  const within = (code: number) => code >= low && code <= high;
  return ignoreCase ? (code) => inOtherCases(code).some(within) : within;
}
