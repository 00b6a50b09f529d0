import { textOf } from '../../tokenizer/tables/utf8-bytes.ts';
import type { GgufValue } from './types.ts';

/**
 * Many texts of a file's metadata, as UTF-8 in one array: a vocabulary of 256,000 tokens is not as many strings until
 * they are asked for.
 */
export class PackedTexts {
  /** Each text is valid UTF-8. */
  readonly bytes: Uint8Array;
  /** Where each text begins, and at the end where another one would. */
  readonly starts: Uint32Array;
  /** Bytes between two texts. */
  readonly gap: number;
  #texts: readonly string[] | undefined;

  constructor(bytes: Uint8Array, starts: Uint32Array, gap: number) {
    this.bytes = bytes;
    this.starts = starts;
    this.gap = gap;
  }

  get length(): number {
    return this.starts.length - 1;
  }

  /** Where a text ends. */
  end(index: number): number {
    return this.starts[index + 1]! - this.gap;
  }

  text(index: number): string {
    return this.#texts?.[index] ?? textOf(this.bytes, this.starts[index]!, this.end(index));
  }

  /** All of them as strings. */
  texts(): readonly string[] {
    this.#texts ??= Array.from({ length: this.length }, (_, index) => this.text(index));
    return this.#texts;
  }
}

/** A metadata value as it is read. */
export type StoredValue = GgufValue | PackedTexts;

/** @param texts without lone surrogates */
export function packTexts(texts: readonly string[]): PackedTexts {
  const starts = new Uint32Array(texts.length + 1);
  const encoder = new TextEncoder();
  const all = texts.map((text, i) => {
    const bytes = encoder.encode(text);
    starts[i + 1] = starts[i]! + bytes.length;
    return bytes;
  });
  const bytes = new Uint8Array(starts[texts.length]!);
  for (const [i, each] of all.entries()) bytes.set(each, starts[i]!);
  return new PackedTexts(bytes, starts, 0);
}
