import { isSpace } from './text.ts';
import { Float, type PythonValue } from './values.ts';

/** A text that is not a Python literal. */
export class LiteralError extends Error {}

const NUMBER = /^(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?/;
const ESCAPES: Readonly<Record<string, string>> = {
  ...{ '\n': '', '\\': '\\', "'": "'", '"': '"', a: '\x07', b: '\b' },
  ...{ f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' },
};
const MAX_DEPTH = 100;

/**
 * `ast.literal_eval`: strings, numbers, `True`, `False`, `None`, lists, tuples (as lists) and dicts with string keys.
 *
 * @throws LiteralError for anything else.
 */
export function literal(text: string): PythonValue {
  const reader = new Reader(text.replace(/^[ \t]+/, ''));
  const value = reader.tuple();
  reader.end();
  return value;
}

class Reader {
  #at = 0;
  #depth = 0;
  #inBrackets = 0;

  constructor(readonly text: string) {}

  end(): void {
    this.#skip();
    if (this.#at < this.text.replace(/\s+$/, '').length) this.#fail();
  }

  /** A value, or several separated by commas. */
  tuple(): PythonValue {
    const first = this.#value();
    if (!this.#take(',')) return first;
    const items = [first];
    while (!this.#ended(')')) {
      items.push(this.#value());
      if (!this.#take(',')) break;
    }
    return items;
  }

  #value(): PythonValue {
    if (++this.#depth > MAX_DEPTH) throw new LiteralError('it nests too deeply');
    this.#skip();
    const value = this.#inner();
    this.#depth--;
    return value;
  }

  #inner(): PythonValue {
    const rest = this.text.slice(this.#at);
    const word = /^(?:True|False|None)(?![\w])/.exec(rest)?.[0];
    if (word) {
      this.#at += word.length;
      return word === 'None' ? null : word === 'True';
    }
    if (/^[rRuU]?['"]/.test(rest)) return this.#strings();
    if (this.#take('[')) return this.#within(']', () => this.#list());
    if (this.#take('(')) return this.#within(')', () => (this.#ended(')') ? [] : this.tuple()));
    if (this.#take('{')) return this.#within('}', () => this.#dict());
    if (this.#take('-')) return this.#signed(-1);
    if (this.#take('+')) return this.#signed(1);
    return this.#number(rest);
  }

  #within(close: string, read: () => PythonValue): PythonValue {
    this.#inBrackets++;
    const value = read();
    if (!this.#take(close)) this.#fail();
    this.#inBrackets--;
    return value;
  }

  #list(): PythonValue[] {
    const items: PythonValue[] = [];
    while (!this.#ended(']')) {
      items.push(this.#value());
      if (!this.#take(',')) break;
    }
    return items;
  }

  #dict(): PythonValue {
    const dict: Record<string, PythonValue> = {};
    while (!this.#ended('}')) {
      const key = this.#value();
      if (typeof key !== 'string' || !this.#take(':')) this.#fail();
      dict[key as string] = this.#value();
      if (!this.#take(',')) break;
    }
    return dict;
  }

  #signed(sign: number): PythonValue {
    const value = this.#value();
    if (value instanceof Float) return new Float(sign * value.value);
    if (typeof value !== 'number') this.#fail();
    return sign * (value as number);
  }

  #number(rest: string): PythonValue {
    const radix = /^0(?:[xX][\da-fA-F]+|[oO][0-7]+|[bB][01]+)/.exec(rest)?.[0];
    const digits = radix ?? NUMBER.exec(rest)?.[0];
    if (!digits || /^[\w.]/.test(rest.slice(digits.length)) || /__|_$/.test(digits)) this.#fail();
    if (!radix && /^0[\d_]*[1-9]/.test(digits) && !/[.eE]/.test(digits)) this.#fail();
    this.#at += digits.length;
    const value = Number(digits.replaceAll('_', ''));
    const isFloat = !radix && /[.eE]/.test(digits);
    return isFloat && Number.isInteger(value) ? new Float(value) : value;
  }

  /** Adjacent string literals are concatenated. */
  #strings(): string {
    let whole = '';
    for (;;) {
      const open = /^([rRuU]?)('''|"""|'|")/.exec(this.text.slice(this.#at));
      if (!open) return whole;
      this.#at += open[0].length;
      whole += this.#string(open[2]!, /r/i.test(open[1]!));
      this.#skip();
    }
  }

  #string(quote: string, raw: boolean): string {
    let value = '';
    for (;;) {
      if (this.text.startsWith(quote, this.#at)) {
        this.#at += quote.length;
        return value;
      }
      const character = this.text[this.#at++];
      if (character === undefined || (character === '\n' && quote.length === 1)) this.#fail();
      if (character !== '\\') value += character;
      else if (raw) value += `\\${this.text[this.#at++] ?? this.#fail()}`;
      else value += this.#escape();
    }
  }

  #escape(): string {
    const rest = this.text.slice(this.#at);
    const code = /^(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8}))/.exec(rest);
    if (code) {
      this.#at += code[0].length;
      const value = code[1]
        ? Number.parseInt(code[1], 8)
        : Number.parseInt(code[2] ?? code[3] ?? code[4]!, 16);
      if (value > 0x10ffff) this.#fail();
      return String.fromCodePoint(value);
    }
    const character = rest[0];
    if (character === undefined || 'xuUN'.includes(character)) this.#fail();
    this.#at++;
    return ESCAPES[character!] ?? `\\${character}`;
  }

  #ended(close: string): boolean {
    this.#skip();
    return this.#at >= this.text.length || this.text.startsWith(close, this.#at);
  }

  #take(sign: string): boolean {
    this.#skip();
    if (!this.text.startsWith(sign, this.#at)) return false;
    this.#at += sign.length;
    return true;
  }

  /** Skips white space; line ends only within brackets. */
  #skip(): void {
    while (this.#at < this.text.length) {
      const character = this.text[this.#at]!;
      const isBreak = character === '\n' || character === '\r';
      if (isBreak ? this.#inBrackets === 0 : character !== ' ' && character !== '\t' && character !== '\f')
        return;
      if (!isSpace(character)) return;
      this.#at++;
    }
  }

  #fail(): never {
    throw new LiteralError(`not a Python literal: ${JSON.stringify(this.text.slice(0, 80))}`);
  }
}
