import type { Strip } from './detokenizer.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * How many bytes at the end of `bytes` may still become a character: a lead byte and fewer continuation
 * bytes than it asks for. 0 when the end is a character's end, or can no longer become one.
 * Ranges: Unicode 17, table 3-7 (well-formed UTF-8).
 */
export function incompleteTail(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const lead = bytes[bytes.length - back]!;
    if (lead >= 0x80 && lead <= 0xbf) continue;
    const size =
      lead >= 0xc2 && lead <= 0xdf
        ? 2
        : lead >= 0xe0 && lead <= 0xef
          ? 3
          : lead >= 0xf0 && lead <= 0xf4
            ? 4
            : 1;
    if (size <= back) return 0;
    if (back > 1) {
      const second = bytes[bytes.length - back + 1]!;
      const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
      const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
      if (second < low || second > high) return 0;
    }
    return back;
  }
  return 0;
}

// A byte order mark inside generated text is text; TextDecoder would drop it.
export const lenientDecoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Decodes a stream of token ids. `push` returns the text that no later token can change, so never half a
 * character: bytes of an unfinished character wait for the next token. The pushes and the flush, joined,
 * are `tokenizer.decode` of all the ids. Constant time per token.
 */
export class StreamDecoder {
  readonly #tokenizer: Tokenizer;
  readonly #skipSpecialTokens: boolean;
  readonly #strip: Strip | undefined;
  #pending: Uint8Array = new Uint8Array(0);
  #first = true;
  #leftToStrip: number;
  #held = '';

  /** @param options.skipSpecialTokens leave special tokens (bos, eos …) out; default false, as in `decode` */
  constructor(tokenizer: Tokenizer, options: { skipSpecialTokens?: boolean } = {}) {
    this.#tokenizer = tokenizer;
    this.#skipSpecialTokens = options.skipSpecialTokens ?? false;
    this.#strip = tokenizer.detokenizer.strip;
    this.#leftToStrip = this.#strip?.start ?? 0;
  }

  /** Takes the next token and returns the text that is now certain, often ''. */
  push(id: number): string {
    if (this.#skipSpecialTokens && this.#tokenizer.isSpecial(id)) return '';
    const bytes = this.#tokenizer.tokenBytes(id, this.#first);
    if (bytes === undefined) return '';
    this.#first = false;
    const all = concatenate([this.#pending, bytes]);
    const end = all.length - incompleteTail(all);
    this.#pending = all.slice(end);
    return this.#trim(lenientDecoder.decode(all.subarray(0, end)));
  }

  /** The rest: unfinished bytes become U+FFFD. Afterwards the decoder is ready for a new text. */
  flush(): string {
    const text = this.#trim(lenientDecoder.decode(this.#pending));
    this.#pending = new Uint8Array(0);
    this.#held = '';
    this.#first = true;
    this.#leftToStrip = this.#strip?.start ?? 0;
    return text;
  }

  /** Applies the decoder's Strip: the start once, the end by holding back what might be the end. */
  #trim(text: string): string {
    const strip = this.#strip;
    if (strip === undefined || text === '') return text;
    let rest = text;
    while (this.#leftToStrip > 0 && rest !== '') {
      if (!rest.startsWith(strip.content)) this.#leftToStrip = 0;
      else {
        rest = rest.slice(strip.content.length);
        this.#leftToStrip--;
      }
    }
    rest = this.#held + rest;
    const certain = stripEnd(rest, strip);
    this.#held = rest.slice(certain.length);
    return certain;
  }
}

/** Joins byte arrays. */
export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

/** `text` without up to `strip.start` leading copies of `strip.content`. */
export function stripStart(text: string, strip: Strip): string {
  let rest = text;
  for (let i = 0; i < strip.start && strip.content !== '' && rest.startsWith(strip.content); i++) {
    rest = rest.slice(strip.content.length);
  }
  return rest;
}

/** `text` without up to `strip.stop` trailing copies of `strip.content`. */
export function stripEnd(text: string, strip: Strip): string {
  let rest = text;
  for (let i = 0; i < strip.stop && strip.content !== '' && rest.endsWith(strip.content); i++) {
    rest = rest.slice(0, rest.length - strip.content.length);
  }
  return rest;
}
