import type { GgufValue } from './types.ts';

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Many texts of a file's metadata, as UTF-8 in one array: a vocabulary of 256,000 tokens is not as many strings until
 * they are asked for.
 */
export class PackedTexts {
  /** Valid UTF-8. */
  readonly bytes: Uint8Array;
  /** Where each text begins, and at the end where the last one ends. */
  readonly starts: Uint32Array;
  #texts: readonly string[] | undefined;

  constructor(bytes: Uint8Array, starts: Uint32Array) {
    this.bytes = bytes;
    this.starts = starts;
  }

  get length(): number {
    return this.starts.length - 1;
  }

  text(index: number): string {
    return (
      this.#texts?.[index] ??
      decoder.decode(this.bytes.subarray(this.starts[index]!, this.starts[index + 1]!))
    );
  }

  /** All of them as strings. */
  texts(): readonly string[] {
    this.#texts ??= Array.from({ length: this.length }, (_, index) => this.text(index));
    return this.#texts;
  }
}

/** A metadata value as it is read. */
export type StoredValue = GgufValue | PackedTexts;

/** Collects texts whose number is known. */
export class TextPacker {
  #bytes: Uint8Array;
  readonly #starts: Uint32Array;
  #count = 0;
  #end = 0;

  constructor(count: number) {
    this.#starts = new Uint32Array(count + 1);
    this.#bytes = new Uint8Array(8 * count);
  }

  add(from: Uint8Array, start: number, length: number): void {
    const end = this.#end + length;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(2 * end);
      larger.set(this.#bytes.subarray(0, this.#end));
      this.#bytes = larger;
    }
    const bytes = this.#bytes;
    if (length > 64) bytes.set(from.subarray(start, start + length), this.#end);
    else for (let i = 0; i < length; i++) bytes[this.#end + i] = from[start + i]!;
    this.#end = end;
    this.#starts[++this.#count] = end;
  }

  /** @returns undefined if one of the texts is not UTF-8 */
  finish(): PackedTexts | undefined {
    const bytes = this.#bytes.subarray(0, this.#end);
    const starts = this.#starts;
    // All together are UTF-8, and none begins within a character: then each is UTF-8.
    for (let i = 0; i < this.#count; i++) {
      if (starts[i]! < starts[i + 1]! && (bytes[starts[i]!]! & 0xc0) === 0x80) return undefined;
    }
    return isUtf8(bytes) ? new PackedTexts(bytes, starts) : undefined;
  }
}

/** @param texts without lone surrogates */
export function packTexts(texts: readonly string[]): PackedTexts {
  const encoder = new TextEncoder();
  const packer = new TextPacker(texts.length);
  for (const text of texts) {
    const bytes = encoder.encode(text);
    packer.add(bytes, 0, bytes.length);
  }
  return packer.finish()!;
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
