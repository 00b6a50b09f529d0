import { CHAR_TO_BYTE } from '../byte-alphabet.ts';
import { incompleteTail } from '../utf8.ts';

/** Turns the output of the last step into one text. */
export interface TextAssembly {
  push(token: string): void;
  /** The new text that is certain. */
  take(): string;
  /** The rest of the text. */
  end(): string;
}

/** Joins tokens, with a separator if there is no decoder. */
export function joined(separator: string): TextAssembly {
  let text = '';
  let isFirst = true;
  const take = () => {
    const part = text;
    text = '';
    return part;
  };
  return {
    push(token) {
      text += isFirst ? token : separator + token;
      isFirst = false;
    },
    take,
    end: take,
  };
}

const encoder = new TextEncoder();
// A byte order mark inside a text is part of it; TextDecoder would drop it by default.
const lenient = new TextDecoder('utf-8', { ignoreBOM: true });

/** The number of cached spellings: as many as the largest vocabularies have tokens. */
const MAX_SPELLINGS = 300_000;

/** The bytes of tokens in the byte alphabet; a token with any other character is encoded as UTF-8. */
export class ByteSpellings {
  readonly #known = new Map<string, Uint8Array>();

  bytes(token: string): Uint8Array {
    let bytes = this.#known.get(token);
    if (!bytes) {
      bytes = alphabetBytes(token) ?? encoder.encode(token);
      if (this.#known.size >= MAX_SPELLINGS) this.#known.clear();
      this.#known.set(token, bytes);
    }
    return bytes;
  }
}

function alphabetBytes(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = CHAR_TO_BYTE.get(token[i]!);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}

/** `ByteLevel`: the bytes of all tokens form one text; invalid UTF-8 becomes U+FFFD. */
export function byteAssembly(spellings: ByteSpellings): TextAssembly {
  let buffer = new Uint8Array(256);
  let length = 0;
  return {
    push(token) {
      const bytes = spellings.bytes(token);
      if (length + bytes.length > buffer.length) {
        const larger = new Uint8Array(2 * (length + bytes.length));
        larger.set(buffer.subarray(0, length));
        buffer = larger;
      }
      buffer.set(bytes, length);
      length += bytes.length;
    },
    take() {
      const end = length - incompleteTail(buffer.subarray(0, length));
      if (end === 0) return '';
      const text = lenient.decode(buffer.subarray(0, end));
      buffer.copyWithin(0, end, length);
      length -= end;
      return text;
    },
    end() {
      const text = lenient.decode(buffer.subarray(0, length));
      length = 0;
      return text;
    },
  };
}
