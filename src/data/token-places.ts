import { type Span, sliceSpans } from '../chat/spans.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

/** Where the tokens of a text lie in it; positions of the text are UTF-16. */
export interface TokenPlaces {
  /** The first token that ends after a position: the one that is cut by it, or begins there. */
  endingAfter(position: number): number;
  /** The first token that begins at a position or after it. */
  startingAt(position: number): number;
}

/**
 * Finds the places of tokens by their bytes, which in most tokenizers are those of the text. Where they are not (one
 * changes what it reads), a position is found by encoding the text before it: tokens of both encodings are the same up to
 * the one that the position cuts.
 *
 * @param ids what `tokenizer` gives for `text` with `plainSpans`, and nothing added around.
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

/** The byte position at which each token ends; undefined where the tokens' bytes are not the text's. */
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
  // Positions are asked for in order, as a rule: the text before each is measured from the last one on.
  let last = { position: 0, bytes: 0 };
  const bytesBefore = (position: number) => {
    if (position < last.position) last = { position: 0, bytes: 0 };
    const bytes = last.bytes + utf8Length(text, last.position, position);
    last = { position, bytes };
    return bytes;
  };
  return {
    endingAfter: (position) => firstAbove(ends, bytesBefore(position)),
    // A token begins where the one before it ends.
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

/** The first index whose value is above `bytes`, by bisection. */
function firstAbove(ends: Int32Array, bytes: number): number {
  let [low, high] = [0, ends.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle]! > bytes) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Bytes of `text.slice(from, to)` in UTF-8; a lone surrogate has three, as U+FFFD. */
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
