import type { KeyValueCache } from '../../generation/cache/key-value-cache.ts';
import type { Decoder } from '../../generation/decoder.ts';
import type { Likelihood, TokenSum } from './likelihoods.ts';

/** A continuation whose first token has been counted. */
export interface Continued {
  readonly job: number;
  readonly continuation: readonly number[];
  readonly sum: TokenSum;
  /** What its context left; continuations of one context share it. */
  readonly cache: KeyValueCache;
}

/**
 * Runs continuations together: a token of each in one run of the model.
 *
 * @param batch most that run at a time; others take the places of those that end.
 */
export async function* stepTogether(
  decoder: Decoder,
  continued: readonly Continued[],
  batch: number,
): AsyncGenerator<Likelihood, void> {
  const { vocab_size: vocab } = decoder.model.config;
  // Longest first: the last runs are then the fullest.
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
      // The last takes the place of the one that goes, here as in the cache.
      const moved = running.pop()!;
      if (i < running.length) running[i] = moved;
      yield { job, loglikelihood: sum.loglikelihood, greedy: sum.greedy };
    }
  }
}
