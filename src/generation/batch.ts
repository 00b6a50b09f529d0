import { RopewalkError } from '../errors.ts';
import type { BatchCache } from './cache/batch-cache.ts';
import { Continuation, checkRoom } from './continuation.ts';
import type { Decoder } from './decoder.ts';
import { type GenerationOptions, generateTokens, prefill } from './generate.ts';

/** A token of one of several sequences. */
export interface BatchToken {
  /** The index of its prompt, from 0. */
  readonly sequence: number;
  readonly id: number;
}

export interface BatchSettings {
  /** The most sequences that run at the same time, default 8; others wait. */
  readonly sequences?: number;
}

/** Options of one sequence of a batch. A prefix cache keeps only the prompts, not their continuations. */
export type BatchOptions = Omit<GenerationOptions, 'seen' | 'speculate'>;

interface Running {
  readonly sequence: number;
  readonly continuation: Continuation;
  last: number;
}

interface Waiting {
  readonly sequence: number;
  readonly prompt: ArrayLike<number>;
  readonly options: BatchOptions;
}

/**
 * Several sequences that are continued together: each run of the model reads the weights once for all of them. They
 * may begin and end at different times.
 */
export class GenerationBatch {
  readonly #cache: BatchCache;
  readonly #waiting: Waiting[] = [];
  readonly #running: Running[] = [];
  readonly #ended = new Set<number>();
  #count = 0;

  readonly #decoder: Decoder;

  /** @throws RopewalkError if the decoder cannot run batches. */
  constructor(decoder: Decoder, { sequences = 8 }: BatchSettings = {}) {
    this.#decoder = decoder;
    if (!decoder.runsBatches) throw new RopewalkError('this decoder cannot run several sequences at once.');
    this.#cache = decoder.newBatchCache(sequences);
    checkRows(decoder, sequences);
  }

  /** Whether any sequence is unfinished. */
  get busy(): boolean {
    return this.#waiting.length + this.#running.length > 0;
  }

  /**
   * Adds a sequence; its prompt runs in a later step.
   *
   * @returns its number.
   * @throws RopewalkError like `generateTokens`.
   */
  add(prompt: ArrayLike<number>, options: BatchOptions): number {
    checkBatchOptions(this.#decoder, options);
    checkRoom(this.#decoder.model, 0, prompt.length, options.maxTokens);
    if (prompt.length === 0) throw new RopewalkError('the prompt is empty; give at least one token.');
    const sequence = this.#count++;
    if (options.maxTokens > 0) this.#waiting.push({ sequence, prompt, options });
    return sequence;
  }

  /** Ends a sequence early: no more of its tokens are returned. */
  end(sequence: number): void {
    this.#ended.add(sequence);
  }

  /**
   * Runs the prompt of a waiting sequence, if there is room, or one token of each running sequence.
   *
   * @returns the new tokens; none when all sequences have ended.
   * @throws the reason of the signal of one of them, which ends all.
   */
  async step(): Promise<BatchToken[]> {
    this.#removeEnded();
    for (const { options } of this.#waiting) options.signal?.throwIfAborted();
    for (const { continuation } of this.#running) continuation.options.signal?.throwIfAborted();
    if (this.#waiting.length > 0 && this.#cache.count < this.#cache.sequences) {
      return [await this.#begin(this.#waiting.shift()!)];
    }
    if (this.#running.length === 0) return [];
    const { vocab_size: vocab } = this.#decoder.model.config;
    const logits = await this.#decoder.forwardBatch(
      this.#running.map(({ last }) => last),
      this.#cache,
    );
    const tokens = this.#running.map((running, i) => {
      running.last = running.continuation.next(logits.subarray(i * vocab, (i + 1) * vocab));
      return { sequence: running.sequence, id: running.last };
    });
    this.#removeEnded();
    return tokens;
  }

  async #begin({ sequence, prompt, options }: Waiting): Promise<BatchToken> {
    const { prefixCache, signal } = options;
    const ids = Array.from(prompt);
    const continuation = new Continuation(options, ids);
    const cache = prefixCache?.take(ids) ?? this.#decoder.newCache();
    try {
      const logits = await prefill(this.#decoder, cache, ids.slice(cache.position), undefined, signal);
      const last = continuation.next(logits);
      if (!continuation.finished) {
        this.#cache.join(cache);
        this.#running.push({ sequence, continuation, last });
      }
      return { sequence, id: last };
    } finally {
      if (prefixCache) prefixCache.put(ids, cache);
      else cache.release();
    }
  }

  #removeEnded(): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      if (this.#ended.has(this.#waiting[i]!.sequence)) this.#waiting.splice(i, 1);
    }
    for (let i = this.#running.length - 1; i >= 0; i--) {
      const { sequence, continuation } = this.#running[i]!;
      if (!continuation.finished && !this.#ended.has(sequence)) continue;
      // The last sequence takes the place of the one that leaves, as in the cache.
      this.#cache.leave(i);
      const moved = this.#running.pop()!;
      if (i < this.#running.length) this.#running[i] = moved;
    }
  }
}

/** Refuses to batch sequences that would get different numbers than alone. */
function checkRows(decoder: Decoder, sequences: number): void {
  const { sameRows } = decoder;
  if (!decoder.roundsActivations) return;
  // Rolling caches of different lengths are summed in different parts.
  if (decoder.newCache().rolls) decoder.requireExactActivations('a batch of a model with sliding windows');
  if (sequences <= sameRows) return;
  throw new RopewalkError(
    `with 8-bit activations and this block size, ${sameRows === 1 ? 'sequences in a batch' : `more than ${sameRows} sequences`} would get different tokens than alone; load the model with blocks of 32 (block: 32), or with exact activations (activations: 'exact').`,
  );
}

function checkBatchOptions(decoder: Decoder, options: BatchOptions & GenerationOptions): void {
  if (options.seen !== undefined) {
    throw new RopewalkError('"seen" belongs to a cache; the sequences of a batch start with their prompts.');
  }
  if (options.speculate !== undefined) {
    throw new RopewalkError('a batch cannot speculate; omit speculate, or run the sequences one by one.');
  }
  options.prefixCache?.check(decoder);
}

/**
 * Continues several sequences at once. Each gets the same tokens as alone from `generateTokens` with the same
 * options: logits are equal up to the order of sums (about 1e-6 of the largest), so a tie that close may be decided
 * differently.
 *
 * If the decoder cannot run batches (in the browser, through the engine's binding, with head sizes that are not
 * multiples of 8), the sequences run one after another.
 *
 * @param options for all prompts, or one for each. A signal ends all sequences by throwing its reason.
 * @returns tokens as they are generated; those of one sequence are in order.
 */
export async function* generateBatch(
  decoder: Decoder,
  prompts: readonly ArrayLike<number>[],
  options: BatchOptions | readonly BatchOptions[],
  settings: BatchSettings = {},
): AsyncGenerator<BatchToken, void> {
  const all = optionsOfEach(prompts.length, options);
  if (!decoder.runsBatches) {
    all.forEach((each, i) => {
      checkBatchOptions(decoder, each);
      checkRoom(decoder.model, 0, prompts[i]!.length, each.maxTokens);
    });
    for (const [sequence, prompt] of prompts.entries()) {
      for await (const id of generateTokens(decoder, prompt, all[sequence]!)) yield { sequence, id };
    }
    return;
  }
  const batch = new GenerationBatch(decoder, settings);
  for (const [i, prompt] of prompts.entries()) batch.add(prompt, all[i]!);
  while (batch.busy) yield* await batch.step();
}

/** One set of options for each sequence. */
export function optionsOfEach<T>(count: number, options: T | readonly T[]): readonly T[] {
  if (!Array.isArray(options)) return new Array<T>(count).fill(options as T);
  if (options.length === count) return options as readonly T[];
  throw new RopewalkError(`there are ${count} prompts, but options for ${options.length}.`);
}
