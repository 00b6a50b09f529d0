import { RopewalkError } from '../../errors.ts';
import type { KeyValueCache } from '../../generation/cache/key-value-cache.ts';
import type { Decoder } from '../../generation/decoder.ts';
import { prefill } from '../../generation/prefill.ts';
import { commonBeginning, type LikelihoodPortion } from './portions.ts';
import { type Continued, stepTogether } from './step-together.ts';

/** A continuation to compute the log-likelihood of, after a context. */
export interface LikelihoodJob {
  /** At least one id. */
  readonly context: readonly number[];
  /** At least one id. */
  readonly continuation: readonly number[];
}

export interface Likelihood {
  /** The index of its job. */
  readonly job: number;
  /** The sum over the continuation's tokens, in nats. */
  readonly loglikelihood: number;
  /** Whether each token is the most likely one. */
  readonly greedy: boolean;
}

export interface LikelihoodOptions {
  /** The maximum number of continuations per run. */
  readonly batch: number;
  readonly signal?: AbortSignal | undefined;
}

/** Rows of logits in memory at a time. */
const CHUNK = 128;
/** Memory for caches whose continuations wait for others. */
const MAX_WAITING_BYTES = 2 ** 29;

/** Sums over a continuation's tokens from rows of logits. */
export class TokenSum {
  loglikelihood = 0;
  greedy = true;

  /** @param logits `[vocab]`, from the previous token. */
  add(logits: Float32Array, token: number): void {
    let best = 0;
    for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
    const max = logits[best]!;
    let sum = 0;
    for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - max);
    this.loglikelihood += logits[token]! - max - Math.log(sum);
    // Of equal logits, the first is the most likely, as in torch.
    if (best !== token) this.greedy = false;
  }

  /** @throws RopewalkError for a sum that is not a finite number, which no file of answers can hold. */
  of(job: number): Likelihood {
    const { loglikelihood, greedy } = this;
    if (Number.isFinite(loglikelihood)) return { job, loglikelihood, greedy };
    throw new RopewalkError(
      'the model produced logits that are not finite numbers; its weights are damaged.',
    );
  }
}

/**
 * Log-likelihoods of a portion's continuations. Contexts run in the order of their tokens, so a prefix shared with the
 * previous context runs once; continuations of the same context share its run. Short continuations of several contexts
 * then run together, one token of each per run of the model.
 *
 * @param cache of the portion's beginning; it is empty afterwards.
 */
export async function* likelihoods(
  decoder: Decoder,
  jobs: readonly LikelihoodJob[],
  { beginning, contexts }: LikelihoodPortion,
  cache: KeyValueCache,
  { batch, signal }: LikelihoodOptions,
): AsyncGenerator<Likelihood, void> {
  let held: readonly number[] = beginning;
  let waiting: Continued[] = [];
  for (const { context, members } of contexts) {
    signal?.throwIfAborted();
    const common = Math.min(commonBeginning(held, context), context.length - 1);
    rewind(cache, common);
    const logits = (await prefill(decoder, cache, context.slice(cache.position), undefined, signal)).slice();
    held = context;
    const long: Continued[] = [];
    for (const job of members) {
      const { continuation } = jobs[job]!;
      const sum = new TokenSum();
      sum.add(logits, continuation[0]!);
      if (continuation.length === 1) yield sum.of(job);
      else long.push({ job, continuation, sum, cache });
    }
    const steps = Math.max(0, ...long.map(({ continuation }) => continuation.length - 1));
    // Each run reads all weights, for one continuation or for one token of each waiting continuation.
    if (!decoder.runsBatches || batch < 2 || steps >= batch) yield* oneByOne(decoder, cache, long);
    else if (long.length > 0) {
      const kept = cache.clone();
      waiting.push(...long.map((one) => ({ ...one, cache: kept })));
      const caches = new Set(waiting.map((one) => one.cache));
      const bytes = [...caches].reduce((sum, one) => sum + one.bytes, 0) + waiting.length * kept.bytes;
      if (waiting.length < batch && bytes < MAX_WAITING_BYTES) continue;
      yield* stepTogether(decoder, waiting, batch);
      for (const one of caches) one.release();
      waiting = [];
    }
  }
  if (waiting.length > 0) yield* stepTogether(decoder, waiting, batch);
  for (const one of [cache, ...waiting.map((each) => each.cache)]) one.release();
}

/** Continuations of one context one after another, each in one run. */
async function* oneByOne(
  decoder: Decoder,
  cache: KeyValueCache,
  continued: readonly Continued[],
): AsyncGenerator<Likelihood, void> {
  const { vocab_size: vocab } = decoder.model.config;
  const start = cache.position;
  for (const { job, continuation, sum } of continued) {
    const own = cache.rolls ? cache.clone() : cache;
    for (let at = 0; at < continuation.length - 1; at += CHUNK) {
      const tokens = continuation.slice(at, Math.min(at + CHUNK, continuation.length - 1));
      const logits = await decoder.forward(tokens, own, 'all');
      for (let row = 0; row < tokens.length; row++) {
        sum.add(logits.subarray(row * vocab, (row + 1) * vocab), continuation[at + row + 1]!);
      }
    }
    if (own === cache) cache.truncate(start);
    else own.release();
    yield sum.of(job);
  }
}

/** Cuts a cache to its first tokens; empties it if it no longer has some of them. */
function rewind(cache: KeyValueCache, position: number): void {
  cache.truncate(cache.canTruncate(position) ? position : 0);
}
