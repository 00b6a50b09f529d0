import { RopewalkError } from '../../../errors.ts';
import { DAMAGED, INCOMPLETE } from '../../../files/remedies.ts';
import { type ByteSource, readInto } from '../../../files/source.ts';
import { isUtf8 } from '../../../tokenizer/tables/utf8-bytes.ts';
import { PackedTexts } from '../texts.ts';

/** Headers longer than this are refused: a vocabulary of 256k tokens with its merges takes about 20 MB. */
const MAX_HEADER_BYTES = 1 << 28;
/** Strings longer than this are refused: the longest real ones are chat templates and licenses. */
const MAX_STRING_BYTES = 1 << 24;

const FIRST_CHUNK = 1 << 16;
const LAST_CHUNK = 1 << 22;
/** A string begins with its length. */
const LENGTH_BYTES = 8;
/** ASCII strings up to this length are decoded here, which saves the decoder's fixed cost. */
const SHORT = 24;

/** Reads a header from its start on, in growing chunks; holds only the current chunk. */
export class HeaderCursor {
  readonly #source: ByteSource;
  /** The buffered bytes, from file position #start on. */
  #window = new Uint8Array(0);
  #view = new DataView(this.#window.buffer);
  #start = 0;
  /** The next byte in the window. */
  #at = 0;
  #chunk = FIRST_CHUNK;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  /** What is being read, for messages. */
  what = 'the header';

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** From the start of the file. */
  get position(): number {
    return this.#start + this.#at;
  }

  /** Bytes of the file from here to its end. */
  get remaining(): number {
    return this.#source.size - this.position;
  }

  /** Whether `length` bytes are buffered. */
  has(length: number): boolean {
    return this.#at + length <= this.#window.byteLength;
  }

  /** Buffers `length` bytes; throws a RopewalkError if the file or the longest supported header ends before. */
  async need(length: number): Promise<void> {
    if (this.has(length)) return;
    if (length > this.remaining) {
      throw this.damaged(`it takes ${length} bytes, but the file ends after ${this.remaining}`, INCOMPLETE);
    }
    const { position } = this;
    if (position + length > MAX_HEADER_BYTES) {
      throw this.damaged(`it exceeds the longest supported header, ${MAX_HEADER_BYTES} bytes`);
    }
    const kept = this.#window.subarray(this.#at);
    // In proportion to what is kept, which is copied.
    const more = Math.max(this.#chunk, kept.byteLength >> 1);
    const size = Math.min(this.remaining, Math.max(length, kept.byteLength + more));
    this.#chunk = Math.min(this.#chunk * 2, LAST_CHUNK);
    const window = new Uint8Array(size);
    window.set(kept);
    await readInto(this.#source, position + kept.byteLength, window.subarray(kept.byteLength));
    this.#window = window;
    this.#view = new DataView(window.buffer);
    this.#start = position;
    this.#at = 0;
  }

  /** Copies `length` buffered bytes. */
  takeBytes(length: number): Uint8Array {
    const bytes = this.#window.slice(this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }

  async bytes(length: number): Promise<Uint8Array> {
    await this.need(length);
    return this.takeBytes(length);
  }

  async u32(): Promise<number> {
    await this.need(4);
    const value = this.#view.getUint32(this.#at, true);
    this.#at += 4;
    return value;
  }

  async u64(): Promise<number> {
    await this.need(8);
    return this.#takeLength();
  }

  /** A string: its length in 8 bytes, then UTF-8. */
  async string(): Promise<string> {
    await this.need(8);
    const length = this.#takeLength();
    this.#checkString(length);
    await this.need(length);
    return this.#takeText(length);
  }

  /**
   * The same if all of it is buffered; otherwise undefined, with nothing consumed. Avoids a promise for each of 256k
   * tokens.
   */
  tryString(): string | undefined {
    if (!this.has(8)) return undefined;
    const length = this.#takeLength();
    this.#checkString(length);
    if (this.has(length)) return this.#takeText(length);
    this.#at -= 8;
    return undefined;
  }

  /** So many strings, which are left where they are. */
  async texts(count: number): Promise<PackedTexts> {
    const starts = new Uint32Array(count + 1);
    let at = 0;
    for (let i = 0; i < count; ) {
      const window = this.#window.subarray(this.#at);
      const view = new DataView(window.buffer, window.byteOffset, window.byteLength);
      let length = 0;
      for (; i < count && at + LENGTH_BYTES <= window.length; i++) {
        length = lengthAt(view, at);
        if (length > MAX_STRING_BYTES || at + LENGTH_BYTES + length > window.length) break;
        if (!isUtf8(window, at + LENGTH_BYTES, at + LENGTH_BYTES + length)) throw this.notText();
        starts[i] = at + LENGTH_BYTES;
        at += LENGTH_BYTES + length;
        length = 0;
      }
      if (i === count) break;
      this.#checkString(length, at + LENGTH_BYTES);
      await this.need(at + LENGTH_BYTES + length);
    }
    starts[count] = at + LENGTH_BYTES;
    const bytes = this.#window.subarray(this.#at, this.#at + at);
    this.#at += at;
    return new PackedTexts(bytes, starts, LENGTH_BYTES);
  }

  notText(): RopewalkError {
    return this.damaged('a string is not UTF-8 text');
  }

  damaged(problem: string, remedy: string = DAMAGED): RopewalkError {
    return new RopewalkError(`${this.#source.name}: ${this.what}: ${problem}; ${remedy}`);
  }

  #takeLength(): number {
    const length = lengthAt(this.#view, this.#at);
    this.#at += LENGTH_BYTES;
    return length;
  }

  /** @param ahead how far from here it begins */
  #checkString(length: number, ahead = 0): void {
    const remaining = Math.max(0, this.remaining - ahead);
    if (length > remaining) {
      throw this.damaged(
        `a string of ${length} bytes extends past the end of the file, which has ${remaining} more bytes`,
        INCOMPLETE,
      );
    }
    if (length > MAX_STRING_BYTES) {
      throw this.damaged(`a string of ${length} bytes is longer than ${MAX_STRING_BYTES}`);
    }
  }

  #takeText(length: number): string {
    const from = this.#at;
    const to = from + length;
    this.#at = to;
    if (length <= SHORT) {
      let text = '';
      let at = from;
      for (; at < to && this.#window[at]! < 0x80; at++) text += String.fromCharCode(this.#window[at]!);
      if (at === to) return text;
    }
    try {
      return this.#decoder.decode(this.#window.subarray(from, to));
    } catch {
      throw this.notText();
    }
  }
}

/** An unsigned 64-bit number; beyond 2^53 it is rounded, which does not affect checks against the file's size. */
function lengthAt(view: DataView, at: number): number {
  const low = view.getUint32(at, true);
  const high = view.getUint32(at + 4, true);
  // Without the product, small numbers stay integers: until a loop is compiled, every other number is an object.
  return high === 0 ? low : high * 2 ** 32 + low;
}
