import { RopewalkError } from '../errors.ts';
import type { KeyValueCache } from './cache.ts';
import type { TokenConstraint } from './constraint.ts';
import { Continuation, checkRoom } from './continuation.ts';
import type { Decoder } from './decoder.ts';
import type { SamplingOptions } from './sampler.ts';

/** Prompts run in chunks of this many tokens: scores of a chunk against the cache stay small. */
const PROMPT_CHUNK = 256;

export interface GenerationOptions extends SamplingOptions {
  /** Most tokens to add. */
  readonly maxTokens: number;
  /** Ids that end the text; the one that ended it is returned as the last token. */
  readonly stopTokens?: readonly number[];
  /** Tokens that the cache holds already: the repetition penalty counts them too. */
  readonly seen?: readonly number[];
  /** What the new text must be: it serves one text, and generation ends where it is `finished`. */
  readonly constraint?: TokenConstraint;
  /** Stops between two runs of the model, by throwing its reason. */
  readonly signal?: AbortSignal;
}

/**
 * Runs a prompt through the cache in chunks. Returns the logits of its last token, `[vocab]`.
 *
 * @param signal stops between two chunks.
 */
export async function prefill(
  decoder: Decoder,
  cache: KeyValueCache,
  ids: ArrayLike<number>,
  chunk: number = PROMPT_CHUNK,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const all = Int32Array.from(ids);
  let logits: Float32Array | undefined;
  for (let start = 0; start < all.length; start += chunk) {
    signal?.throwIfAborted();
    logits = await decoder.forward(all.subarray(start, start + chunk), cache);
  }
  if (!logits) throw new RopewalkError('the prompt is empty; give at least one token.');
  return logits.subarray(logits.length - decoder.model.config.vocab_size);
}

/**
 * Continues a sequence, one token at a time.
 *
 * @param prompt at least one token id.
 * @throws RopewalkError when prompt and maxTokens together are longer than the model's positions.
 */
export async function* generateTokens(
  decoder: Decoder,
  prompt: ArrayLike<number>,
  options: GenerationOptions,
  cache: KeyValueCache = decoder.newCache(),
): AsyncGenerator<number, void> {
  const { maxTokens, seen = [], signal } = options;
  checkRoom(decoder.model, cache.position, prompt.length, maxTokens);
  const continuation = new Continuation(options, [...seen, ...Array.from(prompt)]);
  if (maxTokens === 0) return;
  let logits = await prefill(decoder, cache, prompt, PROMPT_CHUNK, signal);
  for (;;) {
    const id = continuation.next(logits);
    yield id;
    if (continuation.finished) return;
    signal?.throwIfAborted();
    logits = await decoder.forward([id], cache);
  }
}
