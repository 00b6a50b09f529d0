import { RopewalkError } from '../../errors.ts';
import type { KeyValueCache } from '../cache/key-value-cache.ts';
import type { Decoder } from '../decoder.ts';
import type { Distribution } from '../distribution.ts';
import { prefill } from '../prefill.ts';
import type { Sampler } from '../sampler.ts';

/** Guessed next tokens. */
export interface Guess {
  readonly ids: readonly number[];
  /** The distributions from which they were drawn; absent if they were not sampled. */
  readonly distributions?: readonly Distribution[];
}

export interface Drafter {
  /** @param context all ids so far. */
  guess(context: readonly number[], count: number, signal?: AbortSignal): Promise<Guess>;
  /** Frees what it holds on a device. */
  release?(): void;
}

/** Longer ones would add little. */
const LONGEST_NGRAM = 4;

/**
 * Guesses that what followed the last tokens earlier will follow again (prompt lookup decoding, Saxena 2023). The
 * longest n-gram that occurred earlier is used, at its latest position.
 */
export class LookupDrafter implements Drafter {
  readonly #shortest: number;

  /** @param shortest n-gram to look up. */
  constructor(shortest = 2) {
    this.#shortest = shortest;
  }

  async guess(context: readonly number[], count: number): Promise<Guess> {
    const size = context.length;
    let longest = this.#shortest - 1;
    let place = -1;
    // Compares the n-gram that ends before `end` with the one that ends the context.
    for (let end = size - 1; end > longest && longest < LONGEST_NGRAM; end--) {
      let length = 0;
      while (
        length < LONGEST_NGRAM &&
        length < end &&
        context[end - 1 - length] === context[size - 1 - length]
      )
        length++;
      if (length <= longest) continue;
      longest = length;
      place = end;
    }
    if (place < 0) return { ids: [] };
    // A short period is repeated beyond the known tokens.
    return { ids: Array.from({ length: count }, (_, i) => context[place + (i % (size - place))]!) };
  }
}

/** Guesses with a smaller model of the same vocabulary, sampling with the same options. */
export class ModelDrafter implements Drafter {
  readonly #cache: KeyValueCache;
  /** The ids whose keys and values are in the cache. */
  #known: number[] = [];

  readonly #decoder: Decoder;
  readonly #sampler: Sampler;

  /** @param sampler of the text: its random numbers, its options, and the tokens it has observed. */
  constructor(decoder: Decoder, sampler: Sampler) {
    this.#decoder = decoder;
    this.#sampler = sampler;
    this.#cache = decoder.newCache();
  }

  async guess(context: readonly number[], most: number, signal?: AbortSignal): Promise<Guess> {
    const count = Math.min(most, this.#decoder.model.maxPositions - context.length);
    if (count < 1) return { ids: [] };
    this.#forgetWrongGuesses(context);
    const ids: number[] = [];
    const distributions: Distribution[] = [];
    let next = context.slice(this.#known.length);
    while (ids.length < count) {
      signal?.throwIfAborted();
      const logits = await prefill(this.#decoder, this.#cache, next, undefined, signal);
      this.#known.push(...next);
      const distribution = this.#sampler.probabilities(logits, ids);
      const id = this.#sampler.draw(distribution);
      ids.push(id);
      distributions.push(distribution);
      next = [id];
    }
    return { ids, distributions };
  }

  release(): void {
    this.#cache.release();
    this.#known = [];
  }

  #forgetWrongGuesses(context: readonly number[]): void {
    // The last token of the context must run to predict the next.
    const most = Math.min(this.#known.length, context.length - 1);
    let common = 0;
    while (common < most && this.#known[common] === context[common]) common++;
    if (!this.#cache.canTruncate(common)) common = 0;
    if (common < this.#cache.position) this.#cache.truncate(common);
    this.#known = this.#known.slice(0, common);
  }
}

/** Refuses a draft model with other token ids. */
export function checkDraft(decoder: Decoder, draft: Decoder): void {
  const [wanted, actual] = [decoder, draft].map(({ model }) => model.config.vocab_size);
  if (wanted !== actual) {
    throw new RopewalkError(
      `the draft model has a vocabulary of ${actual} tokens, but the model has ${wanted}; a draft model must have the same tokenizer.`,
    );
  }
}
