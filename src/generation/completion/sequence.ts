import type { KeyValueCache } from '../cache/key-value-cache.ts';
import type { PrefixCache } from '../cache/prefix-cache.ts';
import { Continuation } from '../continuation.ts';
import type { Decoder } from '../decoder.ts';
import type { GenerationOptions } from '../generate.ts';
import { type ScoredToken, scoreToken } from './token-scores.ts';

/** Receives the tokens of a sequence. Anything it throws ends the sequence. */
export interface SequenceSink {
  /**
   * The prompt has been processed.
   *
   * @param cached the number of its tokens that were in the cache.
   * @param scores of its tokens after the first, if requested.
   */
  prompt(cached: number, scores: readonly ScoredToken[]): void;
  /** @returns whether the sequence continues. */
  token(id: number, score: ScoredToken | undefined): boolean;
  end(): void;
  fail(error: unknown): void;
}

export interface SequenceRequest {
  /** At least one id; prompt and new tokens fit into the model's positions. */
  readonly prompt: readonly number[];
  readonly options: Omit<GenerationOptions, 'seen' | 'speculate' | 'prefixCache' | 'signal'>;
  readonly sink: SequenceSink;
  /** How many of the most likely tokens to report for each token; undefined: no scores. */
  readonly scores?: number | undefined;
  /** Whether the prompt's own tokens are scored. */
  readonly scoresPrompt?: boolean | undefined;
  /** The client: slots are shared fairly between clients. */
  readonly client?: string | undefined;
  /** Ends the sequence before its next run. */
  readonly signal?: AbortSignal | undefined;
}

/** A running sequence: its prompt in chunks, then token by token. */
export class Sequence {
  readonly request: SequenceRequest;
  readonly #continuation: Continuation;
  /** All ids so far. */
  readonly ids: number[];
  /** Its own keys and values while the prompt runs, and afterwards if sequences take turns. */
  cache: KeyValueCache | undefined;
  #cached = 0;
  readonly #scores: ScoredToken[] = [];
  #ended = false;

  constructor(request: SequenceRequest) {
    this.request = request;
    this.ids = [...request.prompt];
    this.#continuation = new Continuation(request.options, this.ids);
  }

  /** Whether it has ended or was abandoned. */
  get over(): boolean {
    return this.#ended || this.request.signal?.aborted === true;
  }

  get client(): string {
    return this.request.client ?? '';
  }

  get last(): number {
    return this.ids.at(-1)!;
  }

  /** Loads the cached prefix of the prompt; a scored prompt has to run as a whole. */
  begin(decoder: Decoder, known: PrefixCache | undefined): void {
    const reuse = known && !this.request.scoresPrompt;
    this.cache = reuse ? known.take(this.request.prompt) : decoder.newCache();
    this.#cached = this.cache.position;
  }

  /**
   * Runs a chunk of the prompt; the last one gives the first new token.
   *
   * @returns whether the prompt is complete.
   */
  async runChunk(decoder: Decoder, most: number): Promise<boolean> {
    const { prompt, scoresPrompt, scores = 0, options, sink } = this.request;
    const cache = this.cache!;
    const start = cache.position;
    const end = Math.min(start + most, prompt.length);
    const { vocab_size: vocab } = decoder.model.config;
    const logits = await decoder.forward(prompt.slice(start, end), cache, scoresPrompt ? 'all' : 'last');
    if (scoresPrompt) {
      for (let at = start; at < end && at + 1 < prompt.length; at++) {
        const row = logits.subarray((at - start) * vocab, (at - start + 1) * vocab);
        this.#scores.push(scoreToken(row, prompt[at + 1]!, scores));
      }
    }
    if (end < prompt.length) return false;
    sink.prompt(this.#cached, this.#scores);
    if (options.maxTokens === 0) this.#finish();
    else this.take(logits.subarray(logits.length - vocab));
    return true;
  }

  /** Chooses the next token from its logits `[vocab]`, which it modifies. */
  take(logits: Float32Array): void {
    const { scores, sink } = this.request;
    const raw = scores === undefined ? undefined : logits.slice();
    const id = this.#continuation.next(logits);
    this.ids.push(id);
    const goesOn = sink.token(id, raw && scoreToken(raw, id, scores!));
    if (!goesOn || this.#continuation.finished) this.#finish();
  }

  fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.request.sink.fail(error);
  }

  #finish(): void {
    this.#ended = true;
    this.request.sink.end();
  }
}
