import { caseVariants, refuseJoinedCase } from './case-folding.ts';
import { posixBracket, property, WORD, WORD_ALONE } from './properties.ts';
import { codeSource, type RegexNode, RegexProblem } from './syntax.ts';

/** Escapes of control characters. */
const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, a: 7, e: 27 };

const SPACE = '\\p{White_Space}';
const DIGIT = property('Nd');
const HEX = '[0-9a-fA-F]';

/** Anchors as lookarounds. `^` and `$` match at lines; no line begins at the end of the text. */
const ANCHORS: Readonly<Record<string, string>> = {
  '^': '(?:(?<![\\s\\S])|(?<=\\n)(?=[\\s\\S]))',
  $: '(?![^\\n])',
  '\\A': '(?<![\\s\\S])',
  '\\z': '(?![\\s\\S])',
  '\\Z': '(?=\\n?(?![\\s\\S]))',
  '\\b': `(?:(?<=${WORD_ALONE})(?!${WORD_ALONE})|(?<!${WORD_ALONE})(?=${WORD_ALONE}))`,
  '\\B': `(?:(?<=${WORD_ALONE})(?=${WORD_ALONE})|(?<!${WORD_ALONE})(?!${WORD_ALONE}))`,
};

const LINE_BREAK = '(?:\\r\\n|(?!\\r\\n)[\\n-\\r\\u{85}\\u{2028}\\u{2029}])';

/** Maximum nesting of groups and classes. */
const MAX_DEPTH = 50;

interface Options {
  readonly ignoreCase: boolean;
  readonly dotAll: boolean;
}

/**
 * Parses a regular expression in the syntax that the Rust library uses with Oniguruma (Ruby's).
 *
 * @returns the alternatives of the whole expression
 * @throws RegexProblem naming what has no exact counterpart in JavaScript
 */
export function parseRegex(source: string): RegexNode[][] {
  return new RegexParser(source).parse();
}

class RegexParser {
  #at = 0;
  #depth = 0;
  readonly #source: string;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): RegexNode[][] {
    const all = this.#alternatives({ ignoreCase: false, dotAll: false });
    if (this.#at < this.#source.length) throw new RegexProblem('it has an unmatched ")"');
    return all;
  }

  #alternatives(options: Options): RegexNode[][] {
    const all: RegexNode[][] = [[]];
    let run = '';
    while (this.#at < this.#source.length && this.#peek() !== ')') {
      const sequence = all.at(-1)!;
      if (this.#take('|')) {
        all.push([]);
        run = '';
        continue;
      }
      const changed = this.#isolatedOptions(options);
      if (changed) {
        // They apply to the rest of the group, including its other alternatives.
        sequence.push({ kind: 'group', atomic: false, alternatives: this.#alternatives(changed) });
        break;
      }
      const node = this.#repeated(options);
      if (!node) continue;
      sequence.push(node);
      run = node.kind === 'set' && node.literal !== undefined ? run + node.literal : '';
      if (options.ignoreCase && run !== '') refuseJoinedCase(run);
    }
    return all;
  }

  #repeated(options: Options): RegexNode | undefined {
    const body = this.#atom(options);
    if (!body) return undefined;
    const range = this.#quantifier();
    if (!range) return body;
    if (body.kind === 'assertion' || body.kind === 'line break' || body.kind === 'look')
      throw new RegexProblem('it repeats an assertion');
    let mode: 'greedy' | 'lazy' | 'possessive' = 'greedy';
    if (this.#peek() === '?' || this.#peek() === '+') {
      if (range.counted) throw new RegexProblem(`it has "${this.#peek()}" after a counted repetition`);
      mode = this.#next() === '?' ? 'lazy' : 'possessive';
    }
    if (this.#quantifier()) throw new RegexProblem('it repeats a repetition');
    return { kind: 'repeat', body, least: range.least, most: range.most, mode };
  }

  #quantifier(): { least: number; most: number; counted: boolean } | undefined {
    if (this.#take('*')) return { least: 0, most: Infinity, counted: false };
    if (this.#take('+')) return { least: 1, most: Infinity, counted: false };
    if (this.#take('?')) return { least: 0, most: 1, counted: false };
    const match = /^\{(\d*)(,?)(\d*)\}/.exec(this.#source.slice(this.#at, this.#at + 24));
    if (!match || (match[1] === '' && match[3] === '')) return undefined;
    this.#at += match[0].length;
    const least = Number(match[1]);
    const most = match[2] === '' ? least : match[3] === '' ? Infinity : Number(match[3]);
    if (least > most || least > 1000) throw new RegexProblem(`it has the repetition ${match[0]}`);
    return { least, most, counted: true };
  }

  #atom(options: Options): RegexNode | undefined {
    const character = this.#nextCharacter();
    switch (character) {
      case '(':
        return this.#group(options);
      case '[':
        return this.#class(options);
      case '.':
        return set(options.dotAll ? '[\\s\\S]' : '[^\\n]');
      case '^':
      case '$':
        return { kind: 'assertion', source: ANCHORS[character]! };
      case '\\':
        return this.#escape(options);
      case '*':
      case '+':
      case '?':
        throw new RegexProblem(`it has a "${character}" with nothing to repeat`);
      default:
        return literal(character, options);
    }
  }

  #group(options: Options): RegexNode | undefined {
    const opening = /^\?(?:<?[=!]|:|>|<[A-Za-z_]\w{0,60}>|#|([imx]{0,3})(?:-([imx]{1,3}))?:)/.exec(
      this.#source.slice(this.#at, this.#at + 80),
    );
    if (!opening && this.#peek() === '?') throw new RegexProblem('it has a group of an unknown kind');
    if (!opening) return this.#groupRest(false, options);
    const [text] = opening;
    this.#at += text.length;
    if (text === '?#') {
      const end = this.#source.indexOf(')', this.#at);
      if (end < 0) throw new RegexProblem('it has an unterminated comment');
      this.#at = end + 1;
      return undefined;
    }
    if (text === '?=' || text === '?!' || text === '?<=' || text === '?<!') {
      return { kind: 'look', opening: text, body: this.#groupRest(false, options) };
    }
    if (text === '?>') return this.#groupRest(true, options);
    return this.#groupRest(false, withOptions(options, opening[1] ?? '', opening[2] ?? ''));
  }

  #groupRest(atomic: boolean, options: Options): RegexNode {
    this.#enter();
    const alternatives = this.#alternatives(options);
    this.#depth--;
    if (!this.#take(')')) throw new RegexProblem('it has an unmatched "("');
    return { kind: 'group', atomic, alternatives };
  }

  #enter(): void {
    if (++this.#depth > MAX_DEPTH)
      throw new RegexProblem(`its groups or classes are nested more than ${MAX_DEPTH} deep`);
  }

  /** `(?i)` in the middle of a group. */
  #isolatedOptions(options: Options): Options | undefined {
    const match = /^\(\?([imx]{0,3})(?:-([imx]{1,3}))?\)/.exec(this.#source.slice(this.#at, this.#at + 12));
    if (!match) return undefined;
    this.#at += match[0].length;
    return withOptions(options, match[1] ?? '', match[2] ?? '');
  }

  #escape(options: Options): RegexNode {
    const letter = this.#peek() ?? '';
    const anchor = ANCHORS[`\\${letter}`];
    if (anchor !== undefined) {
      this.#at++;
      return { kind: 'assertion', source: anchor };
    }
    switch (letter) {
      case 'R':
        this.#at++;
        return { kind: 'line break', source: LINE_BREAK };
      case 'N':
        this.#at++;
        return set('[^\\n]');
      case 'O':
        this.#at++;
        return set('[\\s\\S]');
      case 'w':
        this.#at++;
        return set(WORD_ALONE, [WORD_ALONE]);
      case 'W':
        this.#at++;
        return set(`[^${WORD_ALONE}]`, [WORD_ALONE], true);
      default: {
        const known = this.#escapedSet();
        if (known) {
          if (options.ignoreCase && !isCaseless(known.items!)) throw casedSet(known.items!.join(''));
          return known;
        }
        return literal(this.#escapedCharacter(), options);
      }
    }
  }

  /** `\s`, `\p{L}` and similar; undefined for an escaped character. */
  #escapedSet(): (RegexNode & { kind: 'set' }) | undefined {
    const letter = this.#peek() ?? '';
    const simple = { s: SPACE, d: DIGIT, h: HEX, w: WORD }[letter.toLowerCase()];
    if (simple !== undefined) {
      this.#at++;
      const negated = letter !== letter.toLowerCase();
      return set(negated ? `[^${simple}]` : simple, [simple], negated);
    }
    if (letter !== 'p' && letter !== 'P') return undefined;
    const match = /^[pP]\{(\^?)([^{}^]{1,60})\}/.exec(this.#source.slice(this.#at, this.#at + 70));
    if (!match) throw new RegexProblem('it has a property without a name');
    this.#at += match[0].length;
    const source = property(match[2]!);
    const negated = (letter === 'P') !== (match[1] === '^');
    return set(negated ? `[^${source}]` : source, [source], negated);
  }

  /** The character of an escape. */
  #escapedCharacter(): string {
    const letter = this.#nextCharacter();
    if (letter in CONTROLS) return String.fromCharCode(CONTROLS[letter]!);
    if (!/[A-Za-z0-9]/.test(letter)) return letter;
    const rest = this.#source.slice(this.#at, this.#at + 12);
    const code =
      letter === 'x'
        ? /^\{([0-9a-fA-F]{1,6})\}|^([0-7][0-9a-fA-F])/.exec(rest)
        : letter === 'u'
          ? /^([0-9a-fA-F]{4})/.exec(rest)
          : null;
    if (/[1-9k]/.test(letter)) throw new RegexProblem('it has a backreference');
    if (!code) throw new RegexProblem(`it has the escape \\${letter}`);
    this.#at += code[0].length;
    const value = Number.parseInt(code[1] ?? code[2]!, 16);
    if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
      throw new RegexProblem(`it has the escape \\${letter}${code[0]}`);
    }
    return String.fromCodePoint(value);
  }

  /** A class after its "[": items, `&&` between sets, a leading `^`. */
  #class(options: Options): RegexNode & { kind: 'set' } {
    this.#enter();
    const negated = this.#take('^');
    if (this.#peek() === ']') throw new RegexProblem('it has a class that begins with "]"');
    const operands: string[][] = [[]];
    for (;;) {
      if (this.#at >= this.#source.length) throw new RegexProblem('it has an unmatched "["');
      if (this.#take(']')) break;
      if (this.#source.startsWith('&&', this.#at)) {
        this.#at += 2;
        operands.push([]);
      } else operands.at(-1)!.push(this.#classItem(options));
    }
    this.#depth--;
    if (operands.some((items) => items.length === 0)) throw new RegexProblem('it has an empty class');
    const sign = negated ? '^' : '';
    if (operands.length > 1) {
      return set(`[${sign}${operands.map((items) => `[${items.join('')}]`).join('&&')}]`);
    }
    const [items] = operands as [string[]];
    return set(`[${sign}${items.join('')}]`, items, negated);
  }

  #classItem(options: Options): string {
    const posix = /^\[:(\^?)([a-z]{1,10}):\]/.exec(this.#source.slice(this.#at, this.#at + 16));
    if (posix) {
      this.#at += posix[0].length;
      const source = posixBracket(posix[2]!);
      if (options.ignoreCase && !isCaseless([source])) throw casedSet(posix[0]);
      return posix[1] ? `[^${source}]` : source;
    }
    if (this.#take('[')) return this.#class(options).source;
    const known = this.#peek() === '\\' && this.#escapedSetInClass(options);
    if (known) return known;
    const first = this.#classCharacter();
    const isRange =
      this.#peek() === '-' && this.#source[this.#at + 1] !== ']' && this.#at + 1 < this.#source.length;
    if (!isRange) return options.ignoreCase ? caseVariants(first) : escapeCharacter(first);
    this.#at++;
    if (this.#peek() === '[' || /^\\[sdhwpPSDHWR]/.test(this.#source.slice(this.#at, this.#at + 2))) {
      throw new RegexProblem('it has a range that ends in a set');
    }
    const last = this.#classCharacter();
    return range(first.codePointAt(0)!, last.codePointAt(0)!, options);
  }

  #escapedSetInClass(options: Options): string | undefined {
    if (/[bBAzZGRXKNO]/.test(this.#source[this.#at + 1] ?? '')) {
      throw new RegexProblem(`it has \\${this.#source[this.#at + 1]} in a class`);
    }
    this.#at++;
    const known = this.#escapedSet();
    if (!known) {
      this.#at--;
      return undefined;
    }
    if (options.ignoreCase && !isCaseless(known.items!)) throw casedSet(known.items!.join(''));
    // A "-" that follows is literal.
    if (this.#peek() === '-' && this.#source[this.#at + 1] !== ']') {
      this.#at++;
      return `${known.source}\\-`;
    }
    return known.source;
  }

  #classCharacter(): string {
    const character = this.#nextCharacter();
    return character === '\\' ? this.#escapedCharacter() : character;
  }

  #peek(): string | undefined {
    return this.#source[this.#at];
  }

  #next(): string | undefined {
    return this.#source[this.#at++];
  }

  #take(text: string): boolean {
    if (this.#peek() !== text) return false;
    this.#at++;
    return true;
  }

  /** The next code point. */
  #nextCharacter(): string {
    const code = this.#source.codePointAt(this.#at);
    if (code === undefined) throw new RegexProblem('it ends in a "\\"');
    const character = String.fromCodePoint(code);
    this.#at += character.length;
    return character;
  }
}

function set(source: string, items?: readonly string[], negated = false): RegexNode & { kind: 'set' } {
  return items ? { kind: 'set', source, items, negated } : { kind: 'set', source };
}

function literal(character: string, { ignoreCase }: Options): RegexNode {
  const items = ignoreCase ? caseVariants(character) : escapeCharacter(character);
  return { kind: 'set', source: `[${items}]`, items: [items], negated: false, literal: character };
}

function escapeCharacter(character: string): string {
  return /[A-Za-z0-9]/.test(character) ? character : codeSource(character.codePointAt(0)!);
}

/** The largest range whose case variants are looked up. */
const MOST_CASED = 2000;

function range(first: number, last: number, { ignoreCase }: Options): string {
  if (first > last) throw new RegexProblem('it has a range that runs backwards');
  if (!ignoreCase) return `${codeSource(first)}-${codeSource(last)}`;
  if (last - first > MOST_CASED) throw new RegexProblem('it ignores the case of a long range');
  let items = '';
  for (let code = first; code <= last; code++) items += caseVariants(String.fromCodePoint(code));
  return items;
}

function withOptions(options: Options, on: string, off: string): Options {
  if (on.includes('x')) throw new RegexProblem('it has the option x');
  return {
    ignoreCase: (options.ignoreCase || on.includes('i')) && !off.includes('i'),
    dotAll: (options.dotAll || on.includes('m')) && !off.includes('m'),
  };
}

/** Sets in which no character has a case. */
const CASELESS = new Set([SPACE, DIGIT, ...['N', 'P', 'Z', 'Zs', 'Nd'].map(property)]);

function isCaseless(items: readonly string[]): boolean {
  return items.every((item) => CASELESS.has(item));
}

function casedSet(what: string): RegexProblem {
  return new RegexProblem(`it ignores the case of ${what.length > 40 ? 'a property' : what}`);
}
