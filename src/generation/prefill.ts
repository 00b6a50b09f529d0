import { RopewalkError } from '../errors.ts';
import type { KeyValueCache } from './cache/key-value-cache.ts';
import type { Decoder } from './decoder.ts';

/** Prompts run in chunks of this many tokens, so that the scores of a chunk against the cache stay small. */
const PROMPT_CHUNK = 256;

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
