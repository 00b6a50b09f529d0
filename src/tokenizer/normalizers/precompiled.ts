import type { Component } from '../component.ts';
import { decodeBase64 } from './base64.ts';
import type { Normalizer } from './normalizer.ts';

const encoder = new TextEncoder();
/** The number of cached words and characters. */
const MAX_KNOWN = 50_000;
/** A grapheme of more UTF-8 bytes is only looked up character by character. */
const MAX_GRAPHEME_BYTES = 5;

/**
 * `Precompiled`: SentencePiece's normalization rules, stored as a double-array trie (in Darts-clone's format) from
 * UTF-8 texts to offsets in a list of NUL-terminated texts. As in the Rust library, a short grapheme is first looked
 * up as a whole, then by its characters; the shortest rule that is a prefix of it replaces all of it.
 */
export function precompiled(component: Component): Normalizer {
  const bytes = decodeBase64(component.text('precompiled_charsmap'));
  if (!bytes) return component.fail('is not base64', 'precompiled_charsmap');
  const map = CharacterMap.read(bytes);
  if (typeof map === 'string') return component.fail(map, 'precompiled_charsmap');
  const normalize = (text: string) => map.normalize(text);
  return {
    normalize,
    head: (text, head) => map.normalize(text.slice(0, head)).length,
  };
}

/** A map from texts to texts. */
class CharacterMap {
  readonly #units: Uint32Array;
  readonly #texts: Uint8Array;
  readonly #words = new Map<string, string>();
  readonly #known = new Map<string, string | undefined>();
  readonly #graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  private constructor(units: Uint32Array, texts: Uint8Array) {
    this.#units = units;
    this.#texts = texts;
  }

  /** @returns the problem, if the bytes are invalid */
  static read(bytes: Uint8Array): CharacterMap | string {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const size = bytes.length >= 4 ? view.getUint32(0, true) : 0;
    const count = Math.floor(size / 4);
    if (count === 0 || 4 + 4 * count > bytes.length) return 'has no complete trie';
    const units = Uint32Array.from({ length: count }, (_, i) => view.getUint32(4 + 4 * i, true));
    const texts = bytes.subarray(4 + 4 * count);
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(texts);
    } catch {
      return 'has texts that are not UTF-8';
    }
    return new CharacterMap(units, texts);
  }

  normalize(text: string): string {
    let result = '';
    let start = 0;
    for (let space = text.indexOf(' ', 1); space > 0; space = text.indexOf(' ', space + 1)) {
      if (!endsGrapheme(text.charCodeAt(space - 1))) continue;
      result += this.#normalizeWord(text.slice(start, space));
      start = space;
    }
    return result + this.#normalizeWord(text.slice(start));
  }

  /** Normalizes a part of a text that begins and ends at grapheme boundaries. */
  #normalizeWord(word: string): string {
    let result = this.#words.get(word);
    if (result === undefined) {
      result = '';
      for (const { segment } of this.#graphemes.segment(word)) result += this.#normalizeGrapheme(segment);
      if (word.length <= 32) {
        if (this.#words.size >= MAX_KNOWN) this.#words.clear();
        this.#words.set(word, result);
      }
    }
    return result;
  }

  #normalizeGrapheme(grapheme: string): string {
    if (grapheme.length <= MAX_GRAPHEME_BYTES) {
      const whole = this.#lookUp(grapheme, MAX_GRAPHEME_BYTES);
      if (whole !== undefined) return whole;
    }
    let result = '';
    for (const character of grapheme) result += this.#lookUp(character, 4) ?? character;
    return result;
  }

  #lookUp(text: string, mostBytes: number): string | undefined {
    if (this.#known.has(text)) return this.#known.get(text);
    const bytes = encoder.encode(text);
    const found = bytes.length <= mostBytes ? this.#search(bytes) : undefined;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(text, found);
    return found;
  }

  /** The text of the shortest prefix that has one. Reads are bounds-checked, whatever the file says. */
  #search(key: Uint8Array): string | undefined {
    const units = this.#units;
    let unit = units[0]!;
    let at = offset(unit);
    for (const byte of key) {
      if (byte === 0) return undefined;
      at = (at ^ byte) >>> 0;
      const next = units[at];
      if (next === undefined || label(next) !== byte) return undefined;
      unit = next;
      at = (at ^ offset(unit)) >>> 0;
      if ((unit >>> 8) & 1) {
        const value = units[at];
        return value === undefined ? undefined : this.#text(value & 0x7fffffff);
      }
    }
    return undefined;
  }

  #text(start: number): string | undefined {
    if (start > this.#texts.length) return undefined;
    const end = this.#texts.indexOf(0, start);
    return this.#decoder.decode(this.#texts.subarray(start, end < 0 ? undefined : end));
  }
}

/**
 * Whether a grapheme certainly ends between a character and a space: some marks of other scripts combine with a
 * space.
 */
function endsGrapheme(code: number): boolean {
  return code < 0x300 || (code >= 0x2e80 && code < 0xd7a4);
}

/** The byte that leads to a unit; the highest bit marks units that are values. */
function label(unit: number): number {
  return (unit & 0x800000ff) >>> 0;
}

/** The distance of a unit's children, in units of 256 if bit 9 is set. */
function offset(unit: number): number {
  return ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0;
}
