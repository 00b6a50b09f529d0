import { JinjaError } from '../errors.ts';
import type { Token, TokenType } from './lexer.ts';

/** Maximum nesting of expressions and blocks. */
const MAX_NESTING = 100;

/** A stream of tokens. */
export class Tokens {
  readonly #tokens: readonly Token[];
  #at = 0;
  #nesting = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get current(): Token {
    return this.#tokens[this.#at]!;
  }

  get following(): Token {
    return this.#tokens[this.#at + 1] ?? this.current;
  }

  /** Consumes the current token. */
  next(): Token {
    const token = this.current;
    if (token.type !== 'eof') this.#at++;
    return token;
  }

  is(type: TokenType, value?: string): boolean {
    const { current } = this;
    return current.type === type && (value === undefined || current.value === value);
  }

  isOperator(value: string): boolean {
    return this.is('operator', value);
  }

  isName(...values: string[]): boolean {
    return this.current.type === 'name' && values.includes(this.current.value);
  }

  /** Consumes the current token if it is this one. */
  skip(type: TokenType, value: string): boolean {
    const found = this.is(type, value);
    if (found) this.#at++;
    return found;
  }

  expect(type: TokenType, value?: string): Token {
    if (this.is(type, value)) return this.next();
    throw this.failure(`expected ${value ?? type}, got ${this.describe()}`);
  }

  describe(): string {
    const { type, value } = this.current;
    if (type === 'eof') return 'the end of the template';
    return value === '' || type === 'data' ? type : JSON.stringify(value.slice(0, 40));
  }

  failure(what: string): JinjaError {
    return new JinjaError(`line ${this.current.line}: ${what}`);
  }

  /** Parses something that may recurse. */
  nested<T>(parse: () => T): T {
    if (this.#nesting >= MAX_NESTING) throw this.failure('it nests too deeply');
    this.#nesting++;
    try {
      return parse();
    } finally {
      this.#nesting--;
    }
  }
}
