import { SCRIPTS, type Script, scriptOf } from '../tokenizer/unicode/scripts.ts';
import { concatenate, incompleteTail } from '../tokenizer/utf8.ts';

/** Bytes processed at a time. */
const BLOCK = 1 << 16;

const SPACE = SCRIPTS.indexOf('space');
const OTHER = SCRIPTS.indexOf('other');

/**
 * Counts tokens by script. A token counts for the script of its first character that is not white space; one that begins
 * inside a character counts for that character's.
 */
export class ScriptCounter {
  readonly tokens = Object.fromEntries(SCRIPTS.map((script) => [script, 0])) as Record<Script, number>;
  #pending: Uint8Array[] = [];
  #size = 0;

  /** Adds the next token, given the bytes that it adds to the text. */
  push(bytes: Uint8Array): void {
    this.#pending.push(bytes);
    this.#size += bytes.length;
    if (this.#size >= BLOCK && incompleteTail(bytes) === 0 && isStart(bytes)) this.flush();
  }

  /** Counts what has been added so far; call at the end of a text. */
  flush(): void {
    const scripts = scriptsOfBytes(concatenate(this.#pending));
    let at = 0;
    for (const { length } of this.#pending) {
      const end = at + length;
      let script = length === 0 ? OTHER : SPACE;
      for (; at < end && script === SPACE; at++) script = scripts[at]!;
      at = end;
      this.tokens[SCRIPTS[script]!]++;
    }
    this.#pending = [];
    this.#size = 0;
  }
}

/** Whether bytes begin with the first byte of a character, so that they do not end a previous one. */
function isStart(bytes: Uint8Array): boolean {
  return bytes.length > 0 && (bytes[0]! & 0xc0) !== 0x80;
}

/** The script of the character that each byte belongs to; what is not UTF-8 is `other`. */
function scriptsOfBytes(bytes: Uint8Array): Uint8Array {
  const scripts = new Uint8Array(bytes.length).fill(OTHER);
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at]!;
    const size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const code = codePointAt(bytes, at, size);
    if (code !== undefined) scripts.fill(SCRIPTS.indexOf(scriptOf(code)), at, at + size);
    at += code === undefined ? 1 : size;
  }
  return scripts;
}

/** The smallest code point that UTF-8 writes in so many bytes. */
const SMALLEST = [0, 0, 0x80, 0x800, 0x10000] as const;

/** The character that `size` bytes write; undefined where they are not well-formed. */
function codePointAt(bytes: Uint8Array, at: number, size: number): number | undefined {
  const lead = bytes[at]!;
  if (at + size > bytes.length || (lead >= 0x80 && lead < 0xc2) || lead > 0xf4) return undefined;
  let code = size === 1 ? lead : lead & (0xff >> (size + 1));
  for (let i = 1; i < size; i++) {
    const byte = bytes[at + i]!;
    if ((byte & 0xc0) !== 0x80) return undefined;
    code = code * 64 + (byte & 0x3f);
  }
  const isSurrogate = code >= 0xd800 && code < 0xe000;
  return code < SMALLEST[size]! || code > 0x10ffff || isSurrogate ? undefined : code;
}
