import { RopewalkError } from '../errors.ts';
import type { TokenConstraint } from '../structured/constraint.ts';
import type { KeyValueCache } from './cache/key-value-cache.ts';
import type { PrefixCache } from './cache/prefix-cache.ts';
import { Continuation, checkRoom } from './continuation.ts';
import type { Decoder } from './decoder.ts';
import { prefill } from './prefill.ts';
import type { SamplingOptions } from './sampler.ts';
import type { Drafter } from './speculate/drafter.ts';
import { drafterFor, type Speculation, speculateTokens } from './speculate/speculate.ts';

export { prefill };

export interface GenerationOptions extends SamplingOptions {
  /** The most tokens to add. */
  readonly maxTokens: number;
  /** Ids that end the text; the one that ended it is returned as the last token. */
  readonly stopTokens?: readonly number[];
  /** Tokens already in the cache, so that the repetition penalty includes them. */
  readonly seen?: readonly number[];
  /** Restricts the new text. It is used for one text, and generation ends when it is `finished`. */
  readonly constraint?: TokenConstraint;
  /**
   * Speculates several tokens ahead and checks them in one run: `lookup` repeats what followed the same tokens
   * before, `draft` uses a smaller model with the same tokenizer. The distribution of tokens is unchanged; greedily,
   * and with `lookup` for equal seeds, the tokens are the same (except for ties within the rounding of sums).
   */
  readonly speculate?: Speculation;
  /** Recent texts of this decoder: a known prefix of the prompt need not run again. The new text is added to it. */
  readonly prefixCache?: PrefixCache;
  /** Stops between two runs of the model, by throwing its reason. */
  readonly signal?: AbortSignal;
}

/**
 * Continues a sequence, one token at a time.
 *
 * @param prompt at least one token id.
 * @param cache what precedes the prompt; after each token it holds all but that one.
 * @throws RopewalkError if prompt and maxTokens together exceed the model's positions.
 */
export async function* generateTokens(
  decoder: Decoder,
  prompt: ArrayLike<number>,
  options: GenerationOptions,
  cache?: KeyValueCache,
): AsyncGenerator<number, void> {
  const { maxTokens, seen = [], prefixCache, speculate } = options;
  checkRoom(decoder.model, cache?.position ?? 0, prompt.length, maxTokens);
  const context = [...seen, ...Array.from(prompt)];
  const continuation = new Continuation(options, context);
  const drafter = speculate && drafterFor(speculate, decoder, continuation.sampler);
  const run = { decoder, continuation, drafter, context };
  if (!prefixCache) {
    if (maxTokens === 0) return;
    const used = cache ?? decoder.newCache();
    try {
      yield* continueIn(used, prompt, run);
    } finally {
      if (!cache) used.release();
      drafter?.release?.();
    }
    return;
  }
  if (cache || seen.length > 0) {
    throw new RopewalkError(
      'a prefix cache provides the cache itself; it cannot be combined with another cache or with "seen".',
    );
  }
  prefixCache.check(decoder);
  if (maxTokens === 0) return;
  const taken = prefixCache.take(prompt);
  try {
    yield* continueIn(taken, context.slice(taken.position), run);
  } finally {
    prefixCache.put(context, taken);
    drafter?.release?.();
  }
}

interface Run {
  readonly decoder: Decoder;
  readonly continuation: Continuation;
  readonly drafter: Drafter | undefined;
  /** All ids so far; new ones are appended. */
  readonly context: number[];
}

/** @param prompt the part of the context that is not yet in the cache. */
async function* continueIn(
  cache: KeyValueCache,
  prompt: ArrayLike<number>,
  { decoder, continuation, drafter, context }: Run,
): AsyncGenerator<number, void> {
  const { signal } = continuation.options;
  let logits = await prefill(decoder, cache, prompt, undefined, signal);
  if (drafter) {
    yield* speculateTokens({ decoder, cache, logits, continuation, drafter, context });
    return;
  }
  for (;;) {
    const id = continuation.next(logits);
    context.push(id);
    yield id;
    if (continuation.finished) return;
    signal?.throwIfAborted();
    logits = await decoder.forward([id], cache);
  }
}
