import { RopewalkError } from '../../errors.ts';
import type { KeyValueCache } from '../cache/key-value-cache.ts';
import type { Continuation } from '../continuation.ts';
import type { Decoder } from '../decoder.ts';
import type { Sampler } from '../sampler.ts';
import { checkDraft, type Drafter, type Guess, LookupDrafter, ModelDrafter } from './drafter.ts';
import { GuessLength } from './guess-length.ts';

/** The source of guesses. */
export type Speculation = 'lookup' | { readonly draft: Decoder };

/** @throws RopewalkError for a draft model with another vocabulary, and for a decoder that rounds activations. */
export function drafterFor(speculation: Speculation, decoder: Decoder, sampler: Sampler): Drafter {
  decoder.requireExactActivations('speculation');
  if (speculation === 'lookup') return new LookupDrafter();
  if (typeof speculation !== 'object' || !speculation.draft) {
    throw new RopewalkError(`speculate must be 'lookup' or {draft: a decoder}, but is ${speculation}.`);
  }
  checkDraft(decoder, speculation.draft);
  return new ModelDrafter(speculation.draft, sampler);
}

/** The most tokens per guess; rolling caches can be rewound by twice as many. */
const MOST_GUESSED = 32;

interface SpeculativeRun {
  readonly decoder: Decoder;
  /** Contains the whole context. */
  readonly cache: KeyValueCache;
  /** The logits after the context's last token. */
  readonly logits: Float32Array;
  readonly continuation: Continuation;
  readonly drafter: Drafter;
  /** All ids so far; new ones are appended. */
  readonly context: number[];
}

const NO_GUESS: Guess = { ids: [] };

/**
 * Continues a sequence speculatively: one run of the model checks all tokens of a guess and yields one more after the
 * last accepted one (Leviathan et al. 2023, arXiv:2211.17192; Chen et al. 2023, arXiv:2302.01318). If a guess was not
 * sampled, the token is drawn as usual, and the guess is accepted if it is that token: the same rule, with the same
 * random numbers.
 */
export async function* speculateTokens(run: SpeculativeRun): AsyncGenerator<number, void> {
  const { decoder, cache, continuation, drafter, context } = run;
  const { signal } = continuation.options;
  const { vocab_size: vocab } = decoder.model.config;
  const length = new GuessLength(MOST_GUESSED);
  const start = cache.position;
  let yielded = 0;
  let logits = run.logits;
  let guess = NO_GUESS;
  try {
    for (;;) {
      const chosen: number[] = [];
      let right = 0;
      while (!continuation.finished) {
        const row = logits.subarray(right * vocab, (right + 1) * vocab);
        const id = continuation.next(row, guess.ids[right], guess.distributions?.[right]);
        chosen.push(id);
        if (id !== guess.ids[right]) break;
        right++;
      }
      length.update(guess.ids.length, right);
      cache.truncate(start + yielded + chosen.length - 1);
      for (const id of chosen) {
        context.push(id);
        yielded++;
        yield id;
      }
      if (continuation.finished) return;
      signal?.throwIfAborted();
      const count = Math.min(length.next(), continuation.left - 1);
      guess = count > 0 ? await drafter.guess(context, count, signal) : NO_GUESS;
      logits = await decoder.forward([context.at(-1)!, ...guess.ids], cache, 'all');
    }
  } finally {
    // If the caller stops early, the cache keeps the tokens that were yielded, except the last.
    cache.truncate(Math.min(cache.position, start + Math.max(0, yielded - 1)));
  }
}
