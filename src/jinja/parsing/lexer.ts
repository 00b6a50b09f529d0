import { JinjaError, NotSupported } from '../errors.ts';

export type TokenType =
  | 'data'
  | 'variable_begin'
  | 'variable_end'
  | 'block_begin'
  | 'block_end'
  | 'name'
  | 'string'
  | 'integer'
  | 'float'
  | 'operator'
  | 'eof';

export interface Token {
  readonly type: TokenType;
  /** The name, the operator, the digits of a number, or the value of a string. */
  readonly value: string;
  readonly line: number;
}

/** Python's white space, as in `\s` of its regular expressions and in `str.strip`. */
export const SPACES = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const SPACE = `[${SPACES}]`;
const TRAILING = new RegExp(`${SPACE}$`);

const RAW_BEGIN = new RegExp(`\\{%([-+]?)${SPACE}*raw${SPACE}*(?:-%\\}${SPACE}*|%\\})`, 'y');
/** Ends of tags; with `trim_blocks` they take a line end along. */
const endings = (lineEnd: string) => ({
  raw: new RegExp(`\\{%([-+]?)${SPACE}*endraw${SPACE}*(?:\\+%\\}|-%\\}${SPACE}*|%\\}${lineEnd})`, 'y'),
  comment: new RegExp(`\\+#\\}|-#\\}${SPACE}*|#\\}${lineEnd}`, 'g'),
  block: new RegExp(`\\+%\\}|-%\\}${SPACE}*|%\\}${lineEnd}`, 'y'),
});
const TRIMMED_ENDS = endings('\\n?');
const PLAIN_ENDS = endings('');
const VARIABLE_END = new RegExp(`-\\}\\}${SPACE}*|\\}\\}`, 'y');

const RULES: readonly (readonly [TokenType | 'space', RegExp])[] = [
  ['space', new RegExp(`${SPACE}+`, 'y')],
  ['float', /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy],
  ['integer', /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy],
  ['name', /[\p{L}\p{N}\p{ID_Continue}_]+/uy],
  ['string', /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy],
  ['operator', /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y],
];
const IDENTIFIER = /^[\p{ID_Start}_]\p{ID_Continue}*$/u;

/**
 * How white space beside tags is read. `chat`: as transformers sets Jinja2 up, with `trim_blocks` and `lstrip_blocks`, and
 * without a line end at the very end. `kept`: Jinja2's own defaults with `keep_trailing_newline`.
 */
export type WhiteSpace = 'chat' | 'kept';

/**
 * Tokenizes a template as Jinja2 does: line ends become `\n`, and white space next to tags is removed according to their
 * signs and to `space`.
 *
 * @throws JinjaError naming the line
 */
export function tokenize(given: string, space: WhiteSpace = 'chat'): Token[] {
  const source = given.replace(/\r\n|\r/g, '\n');
  return new Lexer(space === 'chat' ? source.replace(/\n$/, '') : source, space).run();
}

class Lexer {
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  #counted = 0;
  #lineStarting = true;

  readonly #ends: typeof PLAIN_ENDS;

  constructor(
    readonly source: string,
    readonly space: WhiteSpace,
  ) {
    this.#ends = space === 'chat' ? TRIMMED_ENDS : PLAIN_ENDS;
  }

  run(): Token[] {
    const { source } = this;
    while (this.#at < source.length) {
      const begin = this.#nextTag();
      if (begin < 0) {
        this.#data(source.slice(this.#at));
        this.#at = source.length;
        break;
      }
      const text = source.slice(this.#at, begin);
      const kind = source[begin + 1]!;
      const sign = '-+'.includes(source[begin + 2] ?? ' ') ? source[begin + 2]! : '';
      this.#data(this.#stripped(text, sign, kind === '{'));
      const raw = kind === '%' ? match(RAW_BEGIN, source, begin) : undefined;
      this.#moveTo(begin + (raw ?? `{%${sign}`).length);
      if (raw !== undefined) this.#raw();
      else if (kind === '#') this.#comment();
      else this.#tag(kind === '{' ? 'variable' : 'block');
    }
    this.#add('eof', '');
    return this.#tokens;
  }

  #nextTag(): number {
    const { source } = this;
    let at = source.indexOf('{', this.#at);
    while (at >= 0 && !'%{#'.includes(source[at + 1] ?? ' ')) at = source.indexOf('{', at + 1);
    return at;
  }

  /** The text before a tag, without the white space that the tag removes. */
  #stripped(text: string, sign: string, isVariable: boolean): string {
    if (sign === '-') return trimEnd(text);
    if (sign === '+' || isVariable || this.space === 'kept') return text;
    const line = text.lastIndexOf('\n') + 1;
    if (line === 0 && !this.#lineStarting) return text;
    return trimEnd(text.slice(line)) === '' ? text.slice(0, line) : text;
  }

  #raw(): void {
    const { source } = this;
    for (let at = source.indexOf('{%', this.#at); at >= 0; at = source.indexOf('{%', at + 1)) {
      const end = match(this.#ends.raw, source, at);
      if (end === undefined) continue;
      const sign = '-+'.includes(source[at + 2]!) ? source[at + 2]! : '';
      this.#data(this.#stripped(source.slice(this.#at, at), sign, false));
      this.#moveTo(at + end.length);
      return;
    }
    throw this.#failure('a {% raw %} has no end');
  }

  #comment(): void {
    const { comment } = this.#ends;
    comment.lastIndex = this.#at;
    const end = comment.exec(this.source);
    if (!end) throw this.#failure('a comment has no end');
    this.#moveTo(end.index + end[0].length);
  }

  #tag(kind: 'variable' | 'block'): void {
    const { source } = this;
    this.#add(`${kind}_begin`, '');
    const closing = kind === 'variable' ? VARIABLE_END : this.#ends.block;
    const open: string[] = [];
    while (this.#at < source.length) {
      const end = open.length === 0 ? match(closing, source, this.#at) : undefined;
      if (end !== undefined) {
        this.#add(`${kind}_end`, '');
        this.#moveTo(this.#at + end.length);
        return;
      }
      this.#token(open);
    }
    throw this.#failure(`a ${kind === 'variable' ? '{{' : '{%'} has no end`);
  }

  #token(open: string[]): void {
    for (const [type, rule] of RULES) {
      const text = match(rule, this.source, this.#at);
      if (text === undefined) continue;
      if (type === 'operator') this.#balance(text, open);
      if (type === 'name' && !IDENTIFIER.test(text)) throw this.#failure(`${text} is no name`);
      if (type === 'string') this.#add(type, unescaped(text.slice(1, -1)));
      else if (type !== 'space') this.#add(type, text);
      this.#moveTo(this.#at + text.length);
      return;
    }
    throw this.#failure(`unexpected ${JSON.stringify(this.source[this.#at])}`);
  }

  #balance(operator: string, open: string[]): void {
    const pair = '{}()[]'.indexOf(operator);
    if (pair < 0) return;
    if (pair % 2 === 0) open.push('{}()[]'[pair + 1]!);
    else if (open.pop() !== operator) throw this.#failure(`unexpected ${JSON.stringify(operator)}`);
  }

  #data(text: string): void {
    if (text !== '') this.#add('data', text);
  }

  #moveTo(position: number): void {
    this.#lineStarting = this.source[position - 1] === '\n';
    this.#at = position;
  }

  #add(type: TokenType, value: string): void {
    this.#tokens.push({ type, value, line: this.#currentLine() });
  }

  #currentLine(): number {
    for (; this.#counted < this.#at; this.#counted++) {
      if (this.source.charCodeAt(this.#counted) === 10) this.#line++;
    }
    return this.#line;
  }

  #failure(what: string): JinjaError {
    return new JinjaError(`line ${this.#currentLine()}: ${what}`);
  }
}

function match(rule: RegExp, source: string, at: number): string | undefined {
  rule.lastIndex = at;
  return rule.exec(source)?.[0];
}

function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && TRAILING.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  ...{ '\n': '', '\\': '\\', "'": "'", '"': '"', a: '\x07', b: '\b' },
  ...{ f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' },
};

/**
 * The value of a string literal: Python's `unicode-escape`, over an ASCII form in which other characters are escapes.
 */
function unescaped(literal: string): string {
  if (!literal.includes('\\')) return literal;
  return literal.replace(
    /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(.)|$)/gsu,
    (whole: string, octal?: string, x?: string, u?: string, long?: string, other?: string) => {
      if (octal) return String.fromCodePoint(Number.parseInt(octal, 8));
      const hex = x ?? u ?? long;
      if (hex) return codePoint(Number.parseInt(hex, 16), whole);
      if (other === undefined) throw new JinjaError('a string ends in a backslash');
      if ('xuUN'.includes(other)) {
        if (other === 'N') throw new NotSupported('a character by its name (\\N)');
        throw new JinjaError(`a string has a \\${other} without its digits`);
      }
      const code = other.codePointAt(0)!;
      if (code > 0x7f) return `\\${asciiEscape(code)}`;
      return SIMPLE_ESCAPES[other] ?? whole;
    },
  );
}

/** The ASCII form of a character whose own backslash was consumed by the one before it. */
function asciiEscape(code: number): string {
  const hex = code.toString(16);
  if (code <= 0xff) return `x${hex}`;
  return code <= 0xffff ? `u${hex.padStart(4, '0')}` : `U${hex.padStart(8, '0')}`;
}

function codePoint(code: number, literal: string): string {
  if (code > 0x10ffff) throw new JinjaError(`${literal} is no character`);
  if (code >= 0xd800 && code <= 0xdfff) throw new NotSupported(`half a character (${literal})`);
  return String.fromCodePoint(code);
}
