import { hashByte } from './token-table.ts';
import { writeCodePoint } from './utf8-bytes.ts';

/** Thrown where JSON is not in the plain form that is read here; the reader of any JSON then decides. */
export class NotPlain extends Error {}

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const SHORT: Readonly<Record<string, number>> = {
  b: 8,
  t: 9,
  n: 10,
  f: 12,
  r: 13,
  '"': 34,
  '/': 47,
  '\\': 92,
};

/**
 * Reads JSON of valid UTF-8 byte by byte, strictly: whatever it accepts, `JSON.parse` accepts, with the same values.
 */
export class JsonBytes {
  readonly bytes: Uint8Array;
  at = 0;
  /** The string read last: where its text is, `[start, end)`, and its hash. */
  text: Uint8Array;
  start = 0;
  end = 0;
  hash = 0;
  /** Holds texts that were written with escapes. */
  #unescaped = new Uint8Array(256);

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.text = bytes;
  }

  /** Skips white space. @returns the byte that follows */
  peek(): number {
    const { bytes } = this;
    let { at } = this;
    let byte = bytes[at]!;
    while (byte === SPACE || byte === 10 || byte === 13 || byte === 9) byte = bytes[++at]!;
    this.at = at;
    return byte;
  }

  /** Skips white space and this byte. @throws NotPlain if another follows */
  expect(byte: number): void {
    if (this.peek() !== byte) throw new NotPlain();
    this.at++;
  }

  /** Skips a comma, or this closing bracket. @returns whether it was a comma */
  more(close: number): boolean {
    const byte = this.peek();
    this.at++;
    if (byte !== COMMA && byte !== close) throw new NotPlain();
    return byte === COMMA;
  }

  /** Reads a string, up to `stop` if that comes first. @returns whether it did */
  string(): void {
    this.expect(QUOTE);
    this.rest(QUOTE);
  }

  /** Reads the rest of a string, up to its end or to an earlier byte `stop`. */
  rest(stop: number): void {
    const { bytes } = this;
    let at = this.at;
    this.start = at;
    let hash = 0;
    for (;;) {
      const byte = bytes[at]!;
      if (byte === stop) break;
      // Past the end, a byte is undefined, and the first comparison is false.
      if (!(byte >= SPACE) || byte === QUOTE) throw new NotPlain();
      if (byte === BACKSLASH) {
        this.#escaped(at, hash, stop);
        return;
      }
      hash = hashByte(hash, byte);
      at++;
    }
    this.text = bytes;
    this.end = at;
    this.hash = hash;
    this.at = at + 1;
  }

  /** Reads on from the first escape, into a buffer. */
  #escaped(from: number, before: number, stop: number): void {
    const { bytes, start } = this;
    let to = from - start;
    let hash = before;
    this.#reserve(to);
    this.#unescaped.set(bytes.subarray(start, from));
    let at = from;
    for (;;) {
      this.#reserve(to + 4);
      const byte = bytes[at]!;
      if (byte === stop) break;
      if (!(byte >= SPACE) || byte === QUOTE) throw new NotPlain();
      let end = to + 1;
      if (byte === BACKSLASH) {
        at++;
        const code = bytes[at] === 0x75 ? this.#hexadecimal(at + 1) : shortEscape(bytes[at]!);
        // A surrogate pair is left to the reader of any JSON.
        end = writeCodePoint(code, this.#unescaped, to);
        if (end < 0) throw new NotPlain();
        at += bytes[at] === 0x75 ? 5 : 1;
      } else {
        this.#unescaped[to] = byte;
        at++;
      }
      for (; to < end; to++) hash = hashByte(hash, this.#unescaped[to]!);
    }
    this.text = this.#unescaped;
    this.start = 0;
    this.end = to;
    this.hash = hash;
    this.at = at + 1;
  }

  #hexadecimal(from: number): number {
    let value = 0;
    for (let at = from; at < from + 4; at++) {
      const digit = Number.parseInt(String.fromCharCode(this.bytes[at]!), 16);
      if (!(digit >= 0)) throw new NotPlain();
      value = 16 * value + digit;
    }
    return value;
  }

  #reserve(length: number): void {
    if (length <= this.#unescaped.length) return;
    const larger = new Uint8Array(2 * length);
    larger.set(this.#unescaped);
    this.#unescaped = larger;
  }

  /** Reads a whole number of at most eight digits. */
  count(): number {
    let byte = this.peek();
    const { bytes } = this;
    const start = this.at;
    let value = 0;
    while (byte >= 0x30 && byte <= 0x39) {
      value = 10 * value + byte - 0x30;
      byte = bytes[++this.at]!;
    }
    const digits = this.at - start;
    if (digits === 0 || digits > 8 || (digits > 1 && bytes[start] === 0x30)) throw new NotPlain();
    return value;
  }

  /** The text of the string read last, if it is short ASCII. */
  name(): string {
    return String.fromCharCode(...this.text.subarray(this.start, Math.min(this.end, this.start + 32)));
  }

  /** Skips a value of any kind; what is inside is not checked. */
  skip(): void {
    const { bytes } = this;
    for (let depth = 0; ; ) {
      const byte = this.peek();
      if (byte === QUOTE) this.#skipString();
      else if (byte === 0x7b || byte === 0x5b) {
        depth++;
        this.at++;
      } else if (byte === 0x7d || byte === 0x5d) {
        depth--;
        this.at++;
      } else if (byte === COMMA || byte === COLON) {
        if (depth === 0) throw new NotPlain();
        this.at++;
      } else {
        const start = this.at;
        for (let next = byte; next > COMMA && next !== COLON && next !== 0x5d && next !== 0x7d; )
          next = bytes[++this.at]!;
        if (this.at === start) throw new NotPlain();
      }
      if (depth < 0) throw new NotPlain();
      if (depth === 0) return;
    }
  }

  #skipString(): void {
    const { bytes } = this;
    let at = this.at + 1;
    while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
    if (at >= bytes.length) throw new NotPlain();
    this.at = at + 1;
  }
}

function shortEscape(byte: number): number {
  const code = SHORT[String.fromCharCode(byte)];
  if (code === undefined) throw new NotPlain();
  return code;
}
