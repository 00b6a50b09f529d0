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
  /** Most tokens to add. */
  readonly maxTokens: number;
  /** Ids that end the text; the one that ended it is returned as the last token. */
  readonly stopTokens?: readonly number[];
  /** Tokens that the cache holds already: the repetition penalty counts them too. */
  readonly seen?: readonly number[];
  /** What the new text must be: it serves one text, and generation ends where it is `finished`. */
  readonly constraint?: TokenConstraint;
  /**
   * Guesses several tokens ahead and checks them in one run: `lookup` continues as the same tokens continued before, `draft`
   * asks a smaller model with the same tokenizer. The tokens are distributed exactly as without; greedily, and by
   * `lookup` for equal seeds, they are the same ones (up to ties within the rounding of sums).
   */
  readonly speculate?: Speculation;
  /** Recent texts of this decoder: what the prompt begins with need not run again. The text is kept there afterwards. */
  readonly prefixCache?: PrefixCache;
  /** Stops between two runs of the model, by throwing its reason. */
  readonly signal?: AbortSignal;
}

/**
 * Continues a sequence, one token at a time.
 *
 * @param prompt at least one token id.
 * @param cache what came before the prompt; after each token it holds all but that one.
 * @throws RopewalkError when prompt and maxTokens together are longer than the model's positions.
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
    if (maxTokens > 0) yield* continueIn(cache ?? decoder.newCache(), prompt, run);
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
  }
}

interface Run {
  readonly decoder: Decoder;
  readonly continuation: Continuation;
  readonly drafter: Drafter | undefined;
  /** All ids so far; new ones are added. */
  readonly context: number[];
}

/** @param prompt what of the context is not yet in the cache. */
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
