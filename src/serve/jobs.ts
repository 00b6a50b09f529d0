import { RopewalkError } from '../errors.ts';
import type {
  CompletionEnd,
  CompletionOptions,
  CompletionPiece,
  CompletionPrompt,
} from '../generation/completion/completion.ts';
import type { LanguageModel } from '../generation/language-model.ts';
import { ModelEnded } from '../generation/model-ended.ts';
import { ApiError } from './api-error.ts';
import { type ChoiceEvent, ChoiceQueue } from './choice-queue.ts';
import type { Metrics } from './metrics.ts';
import type { Lease, ModelPool } from './model-pool.ts';

/** One completion of a request. */
export interface Ask {
  readonly prompt: CompletionPrompt;
  readonly options: CompletionOptions;
  /** The index of its prompt: choices of one prompt count its tokens once. */
  readonly promptIndex: number;
}

interface Usage {
  promptTokens: number;
  cachedTokens: number;
  newTokens: number;
}

type Pieces = AsyncGenerator<CompletionPiece, CompletionEnd>;

/** The running completions of one request. */
export interface CompletionJob {
  readonly usage: Usage;
  /** Can be read once. @throws ApiError */
  events(): AsyncGenerator<ChoiceEvent, void>;
  /** The client has left. */
  abandon(): void;
}

export interface JobSettings {
  readonly pool: ModelPool;
  readonly metrics: Metrics;
  readonly maxQueue: number;
  readonly timeoutMs: number;
  readonly context: number | undefined;
  /** The maximum number of unread bytes of an answer. */
  readonly maxUnread: number;
}

/** Starts completions within the limits, and counts them. */
export class Jobs {
  readonly #settings: JobSettings;
  /** Completions that run or wait, by model. */
  readonly #open = new Map<string, number>();
  readonly #running = new Set<AbortController>();
  /** The mean duration of a completion in seconds, for Retry-After. */
  #seconds = 1;
  #closed = false;
  #drained = () => {};

  constructor(settings: JobSettings) {
    this.#settings = settings;
  }

  /** Refuses new completions, and resolves when all have ended. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    const late = setTimeout(() => {
      for (const controller of this.#running) controller.abort(closing());
    }, graceMs);
    while (this.#running.size > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    clearTimeout(late);
  }

  /**
   * Starts the completions of a request, once all of them are known to be valid.
   *
   * @throws ApiError
   */
  async begin(
    name: string,
    asks: readonly Ask[],
    request: { signal: AbortSignal; client: string; streams: boolean },
  ): Promise<CompletionJob> {
    if (this.#closed) throw closing();
    const { pool, metrics, timeoutMs, context, maxUnread } = this.#settings;
    const started = performance.now();
    const controller = new AbortController();
    this.#running.add(controller);
    const onLeave = () =>
      controller.abort(new ApiError(499, 'the client has left.', { code: 'client_left' }));
    if (request.signal.aborted) onLeave();
    request.signal.addEventListener('abort', onLeave, { once: true });
    const timer = setTimeout(() => controller.abort(tooLate(timeoutMs)), timeoutMs);
    // Only if one has failed: references to an aborted signal survive minor collections, and memory grows.
    const stopOthers = () => controller.abort(new ApiError(499, 'the answer has ended.'));
    let lease: Lease | undefined;
    let taken = 0;
    const usage: Usage = { promptTokens: 0, cachedTokens: 0, newTokens: 0 };
    const finish = () => {
      if (!this.#running.delete(controller)) return;
      clearTimeout(timer);
      request.signal.removeEventListener('abort', onLeave);
      this.#count(name, -taken);
      if (taken > 0) {
        metrics.job(name, { usage });
        this.#seconds += 0.1 * ((performance.now() - started) / 1000 - this.#seconds);
      }
      lease?.release();
      this.#drained();
    };
    try {
      lease = await pool.lease(name);
      const { model } = lease;
      this.#checkPlaces(name, asks.length, model.batching.sequences);
      taken = asks.length;
      this.#count(name, taken);
      const { signal } = controller;
      const all: Pieces[] = [];
      const counted = new Set<number>();
      for (const { prompt, options, promptIndex } of asks) {
        const pieces = model.complete(prompt, { ...options, context, client: request.client, signal });
        all.push(pieces);
        const { value } = await pieces.next();
        if (!counted.has(promptIndex)) usage.promptTokens += (value as { promptTokens: number }).promptTokens;
        counted.add(promptIndex);
      }
      // If the answer is not streamed, it is read here, whatever the client does.
      const most = request.streams ? maxUnread : Number.POSITIVE_INFINITY;
      const queue = new ChoiceQueue(most, () => controller.abort(tooSlow(most)));
      const onFirst = () => metrics.firstToken(name, (performance.now() - started) / 1000);
      void Promise.all(all.map((pieces, index) => pump(pieces, { index, asks, usage, queue, onFirst }))).then(
        () => {
          finish();
          queue.end();
        },
        (error: unknown) => {
          const why = this.#failure(error, controller, name, model);
          stopOthers();
          finish();
          queue.fail(why);
        },
      );
      return { usage, events: () => queue.read(), abandon: onLeave };
    } catch (error) {
      const why = controller.signal.aborted ? controller.signal.reason : error;
      if (lease && isLost(error)) pool.forget(name, lease.model);
      stopOthers();
      finish();
      if (why instanceof ApiError) throw why;
      if (why instanceof RopewalkError && !isLost(why)) throw refused(why);
      throw broken(why);
    }
  }

  #failure(error: unknown, { signal }: AbortController, name: string, model: LanguageModel): unknown {
    if (signal.aborted && signal.reason instanceof ApiError) return signal.reason;
    if (isLost(error)) this.#settings.pool.forget(name, model);
    return broken(error);
  }

  #checkPlaces(name: string, wanted: number, sequences: number): void {
    const most = sequences + this.#settings.maxQueue;
    if (wanted > most) {
      throw new ApiError(
        400,
        `the request asks for ${wanted} completions at once, but the limit is ${most}.`,
        {
          param: 'n',
        },
      );
    }
    const open = this.#open.get(name) ?? 0;
    if (open + wanted <= most) return;
    this.#settings.metrics.refused(name);
    const seconds = Math.min(60, Math.max(1, Math.ceil((this.#seconds * open) / sequences)));
    throw new ApiError(429, `${open} completions are already running or waiting; retry in ${seconds} s.`, {
      code: 'queue_full',
      headers: { 'Retry-After': String(seconds) },
    });
  }

  #count(name: string, change: number): void {
    const count = (this.#open.get(name) ?? 0) + change;
    this.#open.set(name, count);
    if (change !== 0) this.#settings.metrics.sequences(name, count);
  }
}

interface Pumped {
  readonly index: number;
  readonly asks: readonly Ask[];
  readonly usage: Usage;
  readonly queue: ChoiceQueue;
  readonly onFirst: () => void;
}

/** Adds the events of one choice to the queue, whether or not the client reads. */
async function pump(pieces: Pieces, { index, asks, usage, queue, onFirst }: Pumped): Promise<void> {
  const { promptIndex } = asks[index]!;
  const isFirstOfPrompt = asks.findIndex((ask) => ask.promptIndex === promptIndex) === index;
  let told = index > 0;
  for (;;) {
    const { done, value } = await pieces.next();
    if (done) {
      usage.newTokens += value.newTokens;
      queue.push({ index, end: value });
      return;
    }
    if (value.type === 'accepted') continue;
    if (value.type === 'prompt') {
      if (isFirstOfPrompt) usage.cachedTokens += value.cached;
    } else if (!told) {
      told = true;
      onFirst();
    }
    queue.push({ index, piece: value });
  }
}

function closing(): ApiError {
  return new ApiError(503, 'the server is stopping; retry when it is back.', {
    code: 'stopping',
    headers: { 'Retry-After': '5' },
  });
}

function tooLate(ms: number): ApiError {
  return new ApiError(
    408,
    `the answer took longer than the ${Math.round(ms / 1000)} s that a request may take.`,
    {
      code: 'timeout',
    },
  );
}

function tooSlow(most: number): ApiError {
  return new ApiError(
    408,
    `the client left more than ${most} bytes of the answer unread, so the answer has been ended.`,
    { code: 'unread' },
  );
}

/** An error before the model begins is an error in the request. */
function refused({ message }: RopewalkError): ApiError {
  const tooLong = /positions|tokens that are served/.test(message);
  return new ApiError(400, message, { code: tooLong ? 'context_length_exceeded' : null });
}

function broken(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const message = error instanceof RopewalkError ? error.message : 'something went wrong here.';
  return Object.assign(new ApiError(500, message), { cause: error });
}

function isLost(error: unknown): boolean {
  return error instanceof ModelEnded;
}
