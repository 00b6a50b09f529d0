import { type Span, sliceSpans } from '../chat/spans.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

/** Positions of a text's tokens within it, in UTF-16 units. */
export interface TokenPlaces {
  /** The first token that ends after a position: the one that contains it, or begins there. */
  endingAfter(position: number): number;
  /** The first token that begins at or after a position. */
  startingAt(position: number): number;
}

/**
 * Finds the positions of tokens by their bytes, which in most tokenizers are those of the text. If they are not (some
 * tokenizers normalize text), a position is found by encoding the text before it: both encodings have the same tokens
 * up to the one that contains the position.
 *
 * @param ids the encoding of `text` by `tokenizer` with `plainSpans`, without added special tokens.
 */
export function tokenPlaces(
  tokenizer: Tokenizer,
  text: string,
  ids: readonly number[],
  plainSpans: readonly Span[],
): TokenPlaces {
  const ends = endsByBytes(tokenizer, text, ids);
  return ends ? placesFromEnds(text, ends) : placesByPrefix(tokenizer, text, ids, plainSpans);
}

/** The byte position at which each token ends; undefined if the tokens' bytes are not the text's. */
function endsByBytes(tokenizer: Tokenizer, text: string, ids: readonly number[]): Int32Array | undefined {
  const bytes = new TextEncoder().encode(text);
  const ends = new Int32Array(ids.length);
  let at = 0;
  for (const [i, id] of ids.entries()) {
    const token = tokenizer.tokenBytes(id, i === 0);
    if (!token || at + token.length > bytes.length) return undefined;
    for (let k = 0; k < token.length; k++) if (bytes[at + k] !== token[k]) return undefined;
    at += token.length;
    ends[i] = at;
  }
  return at === bytes.length ? ends : undefined;
}

function placesFromEnds(text: string, ends: Int32Array): TokenPlaces {
  // Positions are usually queried in order: the text before each is measured from the last one on.
  let last = { position: 0, bytes: 0 };
  const bytesBefore = (position: number) => {
    if (position < last.position) last = { position: 0, bytes: 0 };
    const bytes = last.bytes + utf8Length(text, last.position, position);
    last = { position, bytes };
    return bytes;
  };
  return {
    endingAfter: (position) => firstAbove(ends, bytesBefore(position)),
    // A token begins where the previous one ends.
    startingAt(position) {
      const bytes = bytesBefore(position);
      return bytes === 0 ? 0 : firstAbove(ends, bytes - 1) + 1;
    },
  };
}

function placesByPrefix(
  tokenizer: Tokenizer,
  text: string,
  ids: readonly number[],
  plainSpans: readonly Span[],
): TokenPlaces {
  const shared = (position: number) => {
    const before = tokenizer.encode(text.slice(0, position), {
      addSpecialTokens: false,
      plainSpans: sliceSpans(plainSpans, 0, position),
    });
    const differs = before.findIndex((id, i) => id !== ids[i]);
    return differs < 0 ? { count: before.length, isWhole: true } : { count: differs, isWhole: false };
  };
  return {
    endingAfter: (position) => shared(position).count,
    startingAt(position) {
      const { count, isWhole } = shared(position);
      return isWhole ? count : count + 1;
    },
  };
}

/** The first index whose value is above `bytes`, by binary search. */
function firstAbove(ends: Int32Array, bytes: number): number {
  let [low, high] = [0, ends.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle]! > bytes) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The length of `text.slice(from, to)` in UTF-8; a lone surrogate takes three bytes, like U+FFFD. */
function utf8Length(text: string, from: number, to: number): number {
  let bytes = 0;
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i);
    const isPair =
      code >= 0xd800 && code < 0xdc00 && i + 1 < to && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00;
    if (isPair) i++;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : isPair ? 4 : 3;
  }
  return bytes;
}
