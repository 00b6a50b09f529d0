import type { KeyValueCache } from '../../generation/cache/key-value-cache.ts';
import type { Decoder } from '../../generation/decoder.ts';
import type { Likelihood, TokenSum } from './likelihoods.ts';

/** A continuation whose first token has been counted. */
export interface Continued {
  readonly job: number;
  readonly continuation: readonly number[];
  readonly sum: TokenSum;
  /** The cache after its context, shared by continuations of the same context. */
  readonly cache: KeyValueCache;
}

/**
 * Runs continuations together: one token of each per run of the model.
 *
 * @param batch the maximum at a time; others take the places of those that end.
 */
export async function* stepTogether(
  decoder: Decoder,
  continued: readonly Continued[],
  batch: number,
): AsyncGenerator<Likelihood, void> {
  const { vocab_size: vocab } = decoder.model.config;
  // Longest first, so that the last runs are the fullest.
  const waiting = [...continued].sort((a, b) => a.continuation.length - b.continuation.length);
  const cache = decoder.newBatchCache(Math.min(batch, waiting.length));
  const running: (Continued & { at: number })[] = [];
  while (waiting.length + running.length > 0) {
    while (waiting.length > 0 && cache.count < cache.sequences) {
      const next = waiting.pop()!;
      cache.join(next.cache);
      running.push({ ...next, at: 0 });
    }
    const logits = await decoder.forwardBatch(
      running.map(({ continuation, at }) => continuation[at]!),
      cache,
    );
    for (const [i, one] of running.entries()) {
      one.at++;
      one.sum.add(logits.subarray(i * vocab, (i + 1) * vocab), one.continuation[one.at]!);
    }
    for (let i = running.length - 1; i >= 0; i--) {
      const { job, sum, continuation, at } = running[i]!;
      if (at < continuation.length - 1) continue;
      cache.leave(i);
      // The last one takes the free place, here as in the cache.
      const moved = running.pop()!;
      if (i < running.length) running[i] = moved;
      yield sum.of(job);
    }
  }
}
