import { RopewalkError } from '../../errors.ts';
import type { BatchCache } from '../cache/batch-cache.ts';
import type { KeyValueCache } from '../cache/key-value-cache.ts';
import type { PrefixCache } from '../cache/prefix-cache.ts';
import { checkRoom } from '../continuation.ts';
import type { Decoder } from '../decoder.ts';
import { Sequence, type SequenceRequest } from './sequence.ts';

/** How the sequences of a model run. */
export interface Batching {
  /** The maximum number of sequences at a time. */
  readonly sequences: number;
  /** Whether they run as one batch. */
  readonly together: boolean;
  /** Why they take turns instead. */
  readonly reason?: string;
}

export interface SchedulerOptions {
  /** The maximum number of sequences at a time, default 8; others wait. */
  readonly sequences?: number;
  /** Cached prefixes; the prompts of all sequences are added. */
  readonly prefixCache?: PrefixCache | undefined;
}

/** Prompt tokens per run, if no other sequence waits and if some do. */
const CHUNK = 256;
const SHORT_CHUNK = 64;

/**
 * Continuous batching: continues sequences of different lengths and settings in one run of the model per token. New
 * ones join between two runs, and long prompts run in chunks between the tokens of others (Yu et al. 2022, "Orca").
 * Each sequence gets the tokens that `generateTokens` would give it alone.
 *
 * If the model cannot run several sequences with the same numbers as alone, they take turns, token by token.
 *
 * A free slot goes to the client that has the fewest, then to the oldest sequence, so that none starves.
 */
export class Scheduler {
  readonly batching: Batching;
  readonly #decoder: Decoder;
  readonly #known: PrefixCache | undefined;
  readonly #waiting: Sequence[] = [];
  /** Sequences whose prompts are running. */
  readonly #prompts: Sequence[] = [];
  /** In the order of the batch's cache. */
  readonly #running: Sequence[] = [];
  #batch: BatchCache | undefined;
  #loop: Promise<void> | undefined;

  constructor(decoder: Decoder, { sequences = 8, prefixCache }: SchedulerOptions = {}) {
    if (!Number.isInteger(sequences) || sequences < 1) {
      throw new RopewalkError(
        `the sequences at one time must be a whole number of at least 1, but are ${sequences}.`,
      );
    }
    prefixCache?.check(decoder);
    this.#decoder = decoder;
    this.#known = prefixCache;
    this.batching = batchingOf(decoder, sequences);
  }

  /** The number of sequences that wait for a slot, and that have one. */
  get load(): { readonly waiting: number; readonly running: number } {
    return { waiting: this.#waiting.length, running: this.#prompts.length + this.#running.length };
  }

  /**
   * Adds a sequence; its sink receives the results.
   *
   * @throws RopewalkError for an empty prompt, for sampling options out of range, and if prompt and new tokens do not
   *   fit into the model's positions.
   */
  add(request: SequenceRequest): void {
    if (request.prompt.length === 0) throw new RopewalkError('the prompt is empty; give at least one token.');
    checkRoom(this.#decoder.model, 0, request.prompt.length, request.options.maxTokens);
    this.#waiting.push(new Sequence(request));
    this.#loop ??= this.#run();
  }

  /** Resolves when nothing is running. */
  async idle(): Promise<void> {
    await this.#loop;
  }

  async #run(): Promise<void> {
    // Sequences added together start in the same run.
    await Promise.resolve();
    try {
      while (this.#waiting.length + this.#prompts.length + this.#running.length > 0) await this.#step();
    } catch (error) {
      // No sequence may wait forever.
      for (const list of [this.#waiting, this.#prompts, this.#running]) {
        for (const sequence of list.splice(0)) sequence.fail(error);
      }
      this.#batch = undefined;
    }
    this.#loop = undefined;
  }

  /** At most one chunk of a prompt, then one token of each running sequence. */
  async #step(): Promise<void> {
    this.#dropOver();
    this.#admit();
    const next = this.#nextPrompt();
    if (next) await this.#runChunk(next);
    if (this.#running.length > 0) await this.#runTokens();
  }

  /** Assigns free slots to waiting sequences. */
  #admit(): void {
    const { sequences } = this.batching;
    while (this.#waiting.length > 0 && this.#prompts.length + this.#running.length < sequences) {
      const places = new Map<string, number>();
      for (const { client } of [...this.#prompts, ...this.#running])
        places.set(client, (places.get(client) ?? 0) + 1);
      let best = 0;
      const held = (at: number) => places.get(this.#waiting[at]!.client) ?? 0;
      for (let at = 1; at < this.#waiting.length; at++) if (held(at) < held(best)) best = at;
      this.#prompts.push(...this.#waiting.splice(best, 1));
    }
  }

  /** The next prompt in turn; one that shares a prefix with a running prompt waits for its cache. */
  #nextPrompt(): Sequence | undefined {
    return this.#prompts.find((sequence, at) => {
      if (sequence.cache) return true;
      return !this.#prompts.some(
        (other, place) => (other.cache || place < at) && this.#wouldServe(other, sequence),
      );
    });
  }

  /** Whether a prompt's cache is worth waiting for. */
  #wouldServe(earlier: Sequence, { request }: Sequence): boolean {
    if (!this.#known || request.scoresPrompt) return false;
    const most = Math.min(earlier.request.prompt.length, request.prompt.length - 1);
    let common = 0;
    while (common < most && earlier.request.prompt[common] === request.prompt[common]) common++;
    return common >= Math.max(1, most / 2);
  }

  async #runChunk(sequence: Sequence): Promise<void> {
    this.#prompts.splice(this.#prompts.indexOf(sequence), 1);
    const short = this.#running.length > 0 && !this.#decoder.roundsActivations;
    try {
      if (!sequence.cache) sequence.begin(this.#decoder, this.#known);
      if (!(await sequence.runChunk(this.#decoder, short ? SHORT_CHUNK : CHUNK))) {
        this.#prompts.push(sequence);
        return;
      }
    } catch (error) {
      sequence.fail(error);
    }
    const cache = sequence.cache;
    if (this.#isOver(sequence) || this.batching.together) {
      sequence.cache = undefined;
      if (!sequence.over) {
        this.#batch ??= this.#decoder.newBatchCache(this.batching.sequences);
        this.#batch.join(cache!);
        this.#running.push(sequence);
      }
      if (cache) this.#keep(sequence, cache);
    } else this.#running.push(sequence);
  }

  async #runTokens(): Promise<void> {
    this.#dropOver();
    const running = [...this.#running];
    if (running.length === 0) return;
    if (!this.batching.together) {
      for (const sequence of running) {
        if (sequence.over) continue;
        await each(sequence, async () =>
          sequence.take(await this.#decoder.forward([sequence.last], sequence.cache!)),
        );
      }
      return;
    }
    const { vocab_size: vocab } = this.#decoder.model.config;
    let logits: Float32Array;
    try {
      logits = await this.#decoder.forwardBatch(
        running.map(({ last }) => last),
        this.#batch!,
      );
    } catch (error) {
      // An engine error ends the sequences of this run, and no others.
      for (const sequence of running) sequence.fail(error);
      return;
    }
    for (const [i, sequence] of running.entries()) {
      await each(sequence, async () => sequence.take(logits.subarray(i * vocab, (i + 1) * vocab)));
    }
  }

  /** Frees the slots of sequences that have ended or were abandoned. */
  #dropOver(): void {
    for (const list of [this.#waiting, this.#prompts]) {
      for (let i = list.length - 1; i >= 0; i--)
        if (this.#isOver(list[i]!)) list.splice(i, 1)[0]!.cache?.release();
    }
    for (let i = this.#running.length - 1; i >= 0; i--) {
      const sequence = this.#running[i]!;
      if (!this.#isOver(sequence)) continue;
      const { together } = this.batching;
      if (this.#known || !together) this.#keep(sequence, together ? this.#batch!.copy(i) : sequence.cache!);
      if (together) this.#batch!.leave(i);
      sequence.cache = undefined;
      // The last one takes the free slot, here as in the cache.
      const moved = this.#running.pop()!;
      if (i < this.#running.length) this.#running[i] = moved;
    }
  }

  /** Hands over a cache that no sequence uses any more. */
  #keep(sequence: Sequence, cache: KeyValueCache): void {
    if (this.#known) this.#known.put(sequence.ids, cache);
    else cache.release();
  }

  #isOver(sequence: Sequence): boolean {
    if (sequence.over) sequence.fail(sequence.request.signal?.reason);
    return sequence.over;
  }
}

/** An error of one sequence ends only that sequence. */
async function each(sequence: Sequence, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    sequence.fail(error);
  }
}

function batchingOf(decoder: Decoder, sequences: number): Batching {
  const turns = (reason: string): Batching => ({ sequences, together: false, reason });
  if (sequences === 1) return { sequences, together: decoder.runsBatches };
  if (!decoder.runsBatches)
    return turns('this engine, or this model with head sizes that are no multiples of 8, runs one at a time');
  if (!decoder.roundsActivations) return { sequences, together: true };
  if (decoder.newCache().rolls)
    return turns('with activations of 8 bits, sliding windows would give other tokens together than alone');
  if (sequences > decoder.sameRows)
    return turns(
      `with 8-bit activations and this block size, ${sequences} together would not have the tokens that each has alone; blocks of 32 or exact activations would`,
    );
  return { sequences, together: true };
}
