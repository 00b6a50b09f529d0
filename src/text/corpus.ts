import { RopewalkError } from '../errors.ts';
import { OptionError } from '../options.ts';
import { safeBoundary } from '../tokenizer/boundaries.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

export interface EncodeCorpusOptions {
  /** Token id to put before every document (Gemma and Llama need their bos). Default none. */
  beginOfDocument?: number;
  /** Token id to put after every document, such as `<|endoftext|>`. Default none. */
  endOfDocument?: number;
  /** Whether special tokens spelled out in documents become tokens. Default true. */
  specialTokensInText?: boolean;
  /** Stops `encodeCorpusAsync` between two parts. */
  signal?: AbortSignal;
  /** Called after every part with the number of UTF-16 units encoded so far, and the total. */
  onProgress?: (done: number, total: number) => void;
  /** Minimum size of a part in UTF-16 units. Default 65,536. */
  chunkSize?: number;
}

/** Where the part that begins at `from` ends: at the first safe boundary after `from + size`. */
function endOfPart(
  text: string,
  from: number,
  size: number,
  isSafe: (before: string, after: string) => boolean,
): number {
  for (let at = from + size; at < text.length; at++) {
    const isLowSurrogate = (text.charCodeAt(at) & 0xfc00) === 0xdc00;
    const before = text[at - 1]!; // At worst half a character, which is not a boundary.
    if (!isLowSurrogate && isSafe(before, String.fromCodePoint(text.codePointAt(at)!))) return at;
  }
  return text.length;
}

/** Whether this is the last token that is not white space. */
export function endsWithToken(tokenizer: Tokenizer, ids: ArrayLike<number>, last: number): boolean {
  let at = ids.length - 1;
  while (at >= 0 && ids[at] !== last && tokenizer.decode([ids[at]!]).trim() === '') at--;
  return at >= 0 && ids[at] === last;
}

/** The work of `encodeCorpus`; pauses after every part. */
function* encodeParts(
  tokenizer: Tokenizer,
  documents: string | readonly string[],
  options: EncodeCorpusOptions,
): Generator<void, Int32Array> {
  const { beginOfDocument, endOfDocument, onProgress, chunkSize = 1 << 16 } = options;
  const { specialTokensInText = true } = options;
  if (!Number.isInteger(chunkSize) || chunkSize < 1) {
    throw new RopewalkError(`chunkSize must be a positive integer, but is ${chunkSize}`);
  }
  const texts = typeof documents === 'string' ? [documents] : documents;
  const isSafe = safeBoundary(tokenizer.toJSON());
  const total = texts.reduce((sum, text) => sum + text.length, 0);
  const parts: Int32Array[] = [];
  let done = 0;
  for (const text of texts) {
    const first = parts.length;
    for (let from = 0, to: number; from < text.length; from = to) {
      to = isSafe === null ? text.length : endOfPart(text, from, chunkSize, isSafe);
      const part = text.slice(from, to);
      const plainSpans = specialTokensInText ? [] : [[0, part.length] as const];
      parts.push(Int32Array.from(tokenizer.encode(part, { addSpecialTokens: false, plainSpans })));
      done += to - from;
      onProgress?.(done, total);
      yield;
    }
    // A document rendered with a chat template may contain its own begin and end tokens.
    if (beginOfDocument !== undefined && parts[first]?.[0] !== beginOfDocument)
      parts.splice(first, 0, Int32Array.of(beginOfDocument));
    if (endOfDocument !== undefined && !endsWithToken(tokenizer, parts.at(-1) ?? [], endOfDocument))
      parts.push(Int32Array.of(endOfDocument));
  }
  const tokens = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    tokens.set(part, at);
    at += part.length;
  }
  return tokens;
}

/**
 * Encodes documents to one sequence of token ids for training, with the ids of encoding each document at once. Long
 * documents are encoded in parts if the tokenizer's definition guarantees the same ids (see `safeBoundary`), which
 * saves memory and allows progress reports; otherwise a document is one part. Only the requested special tokens are
 * added; those spelled out in the text become tokens.
 *
 * @returns Int32Array [tokens]
 */
export function encodeCorpus(
  tokenizer: Tokenizer,
  documents: string | readonly string[],
  options: EncodeCorpusOptions = {},
): Int32Array {
  const work = encodeParts(tokenizer, documents, options);
  let step = work.next();
  while (!step.done) step = work.next();
  return step.value;
}

/** How often the event loop runs between parts, so that progress is drawn and Ctrl-C is noticed. */
const PAUSE_EVERY_MS = 50;

/**
 * `encodeCorpus` for long texts: the event loop runs between parts.
 *
 * @returns Int32Array [tokens]
 */
export async function encodeCorpusAsync(
  tokenizer: Tokenizer,
  documents: string | readonly string[],
  options: EncodeCorpusOptions = {},
): Promise<Int32Array> {
  const work = encodeParts(tokenizer, documents, options);
  let lastPause = performance.now();
  let step = work.next();
  while (!step.done) {
    options.signal?.throwIfAborted();
    if (performance.now() - lastPause > PAUSE_EVERY_MS) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      lastPause = performance.now();
    }
    step = work.next();
  }
  return step.value;
}

/**
 * Splits tokens into training text and held-out text: the end, in one piece, so that no training window overlaps the
 * evaluated text.
 *
 * @param validation a share below 1, or a number of tokens; 0 for none.
 * @returns views, not copies, of [tokens − n] and [n]
 * @throws OptionError if it is neither, or a side would have fewer than two tokens.
 */
export function splitCorpus(
  tokens: Int32Array,
  validation: number,
): { training: Int32Array; validation: Int32Array } {
  const isShare = validation > 0 && validation < 1;
  if (!isShare && !(Number.isSafeInteger(validation) && validation >= 0)) {
    throw new OptionError('validation', `give a share below 1 or a number of tokens, not ${validation}.`);
  }
  const held = isShare ? Math.round(tokens.length * validation) : validation;
  const first = tokens.length - held;
  if ((held < 2 && validation > 0) || first < 2) {
    throw new OptionError(
      'validation',
      `${tokens.length} tokens are too few to hold out ${validation}${isShare ? ' of them' : ''}; give more text, or hold out another number.`,
    );
  }
  return { training: tokens.subarray(0, first), validation: tokens.subarray(first) };
}
