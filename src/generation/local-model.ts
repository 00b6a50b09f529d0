import { onAbort } from '../abort.ts';
import type { ChatMessage } from '../chat/messages.ts';
import { ChatTemplate } from '../chat/template.ts';
import { RopewalkError } from '../errors.ts';
import type { CommonConfig } from '../families/config.ts';
import type { CausalLM, Family } from '../families/family.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { PrefixCache } from './cache/prefix-cache.ts';
import { type ChatFunction, ChatMemory, chatFunction, type ReplyEnd } from './chat.ts';
import { Completer } from './completion/completer.ts';
import type {
  CompletionEnd,
  CompletionOptions,
  CompletionPiece,
  CompletionPrompt,
} from './completion/completion.ts';
import type { Batching } from './completion/scheduler.ts';
import type { Decoder } from './decoder.ts';
import { generateTokens } from './generate.ts';
import { generateText } from './generate-text.ts';
import type {
  Abortable,
  LanguageModel,
  ModelChatOptions,
  ModelScoreOptions,
  ModelTextOptions,
  ModelTokenOptions,
} from './language-model.ts';
import { ModelEnded } from './model-ended.ts';
import type { SamplingOptions } from './sampler.ts';
import { withSamplingDefaults } from './sampling-defaults.ts';
import { cachedLogits, type Score, Scorer, scoringWindows } from './score.ts';
import type { TapOptions, TapResult, TapRunner } from './taps/taps.ts';
import type { TextEnd } from './text-stream.ts';

/** Tokens per run when the logits of all are wanted: `[256, vocab]` at a time. */
const CHUNK = 256;

const DEFAULT_WINDOW = 1024;

/** A tap runner, and the files that it holds open. */
export interface OpenTaps {
  readonly runner: TapRunner;
  /** Closes the files of the weights. */
  close(): void;
}

/** The parts of a model in this thread. */
export interface ModelParts {
  /** Its name in messages. */
  readonly name: string;
  readonly family: Family;
  readonly decoder: Decoder;
  readonly tokenizer: Tokenizer;
  readonly stopTokens: readonly number[];
  /** Default sampling of calls; that of {@link SamplingOptions} if absent. */
  readonly sampling?: SamplingOptions | undefined;
  /** Statements of its files that are wrong or not followed. */
  readonly warnings?: readonly string[] | undefined;
  /** Opens its weights for taps; without it, `run` is refused. */
  readonly openTaps?: (() => Promise<OpenTaps>) | undefined;
  /** Memory for the prefix cache, in bytes; none by default. */
  readonly prefixCacheBytes?: number | undefined;
  /** The most completions that run at the same time, default 8. */
  readonly sequences?: number | undefined;
}

/** A model that runs in this thread: every run blocks it; between runs the event loop continues. */
export class LocalModel implements LanguageModel {
  readonly family: Family;
  readonly config: CommonConfig;
  readonly maxPositions: number;
  readonly stopTokens: readonly number[];
  readonly sampling: SamplingOptions;
  readonly warnings: readonly string[];
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  readonly decoder: Decoder;

  readonly #completer: Completer;
  readonly #reply: ChatFunction;
  readonly #recent: { readonly prefixCache?: PrefixCache };
  readonly #calls = new Set<AbortController>();
  readonly #steps = new Set<Promise<unknown>>();
  readonly #openTaps: ModelParts['openTaps'];
  #taps: Promise<OpenTaps> | undefined;
  #memory: ChatMemory | undefined;
  #released: Promise<void> | undefined;

  constructor({
    name,
    family,
    decoder,
    tokenizer,
    stopTokens,
    prefixCacheBytes,
    sequences,
    ...said
  }: ModelParts) {
    this.sampling = said.sampling ?? {};
    this.#openTaps = said.openTaps;
    this.warnings = said.warnings ?? [];
    this.family = family;
    this.model = decoder.model;
    this.config = decoder.model.config;
    this.maxPositions = decoder.model.maxPositions;
    this.stopTokens = stopTokens;
    this.tokenizer = tokenizer;
    this.decoder = decoder;
    this.#recent = prefixCacheBytes
      ? { prefixCache: new PrefixCache(decoder, { maxBytes: prefixCacheBytes }) }
      : {};
    const { sampling } = this;
    this.#completer = new Completer({
      ...{ name, decoder, tokenizer, stopTokens, sampling, sequences },
      ...this.#recent,
    });
    this.#reply = chatFunction({ decoder, tokenizer }, stopTokens, name);
  }

  generate(prompt: string, options: ModelTextOptions): AsyncGenerator<string, TextEnd> {
    const { decoder, tokenizer, stopTokens } = this;
    return this.#stream(options, (signal) =>
      generateText(decoder, tokenizer, prompt, {
        stopTokens,
        ...this.#recent,
        ...withSamplingDefaults(this.sampling, options),
        signal,
      }),
    );
  }

  generateTokens(prompt: ArrayLike<number>, options: ModelTokenOptions): AsyncGenerator<number, void> {
    const { decoder, stopTokens } = this;
    return this.#stream(options, (signal) =>
      generateTokens(decoder, prompt, {
        stopTokens,
        ...this.#recent,
        ...withSamplingDefaults(this.sampling, options),
        signal,
      }),
    );
  }

  async *chat(
    messages: readonly ChatMessage[],
    options: ModelChatOptions = {},
  ): AsyncGenerator<string, ReplyEnd> {
    const { template: source, remember, ...rest } = options;
    const named = source && ChatTemplate.fromConfig(this.tokenizer.config, `the template ${source}`, source);
    const template = source === undefined ? {} : { template: named || new ChatTemplate(source) };
    const memory = remember ? (this.#memory ?? new ChatMemory(this.decoder)) : undefined;
    if (memory) this.#memory = undefined;
    const kept = memory ? { memory } : this.#recent;
    try {
      return yield* this.#stream(options, (signal) =>
        this.#reply(messages, { ...withSamplingDefaults(this.sampling, rest), ...template, ...kept, signal }),
      );
    } finally {
      if (memory && !this.#released) this.#memory = memory;
    }
  }

  get batching(): Batching {
    return this.#completer.batching;
  }

  complete(
    prompt: CompletionPrompt,
    options: CompletionOptions = {},
  ): AsyncGenerator<CompletionPiece, CompletionEnd> {
    return this.#stream(options, (signal) => this.#completer.complete(prompt, { ...options, signal }));
  }

  async encode(text: string, options: { readonly addSpecialTokens?: boolean } & Abortable = {}) {
    return this.#call(options, async () => [...this.tokenizer.encode(text, options)]);
  }

  async decode(ids: ArrayLike<number>, options: { readonly skipSpecialTokens?: boolean } & Abortable = {}) {
    return this.#call(options, async () => this.tokenizer.decode(Array.from(ids), options));
  }

  async score(text: string | ArrayLike<number>, options: ModelScoreOptions = {}): Promise<Score> {
    return this.#call(options, async (signal) => {
      const ids = Int32Array.from(typeof text === 'string' ? this.tokenizer.encode(text) : checked(text));
      if (ids.length < 2) {
        throw new RopewalkError('scoring needs at least two tokens: the first predicts the second.');
      }
      const scorer = new Scorer();
      for (const window of scoringWindows(ids, this.#window(options.window))) {
        for await (const rows of cachedLogits(this.decoder, window, CHUNK)) {
          scorer.add(rows, window, this.config.vocab_size);
          signal.throwIfAborted();
        }
      }
      return scorer.result();
    });
  }

  async logits(ids: ArrayLike<number>, options: Abortable = {}): Promise<Float32Array> {
    return this.#call(options, async (signal) => {
      let all = new Float32Array(0);
      for await (const { start, logits } of cachedLogits(this.decoder, checked(ids), CHUNK)) {
        if (start === 0) all = new Float32Array(ids.length * this.config.vocab_size);
        all.set(logits, start * this.config.vocab_size);
        signal.throwIfAborted();
      }
      return all;
    });
  }

  async run(ids: ArrayLike<number>, options: TapOptions & Abortable = {}): Promise<TapResult> {
    const { signal: _signal, ...asked } = options;
    return this.#call(options, async (signal) => {
      const open = this.#openTaps;
      if (!open) {
        throw new RopewalkError(
          'this model was created without access to its weights; use load or loadHere, or a TapRunner.',
        );
      }
      this.#taps ??= open().catch((error: unknown) => {
        this.#taps = undefined;
        throw error;
      });
      const { runner } = await this.#taps;
      signal.throwIfAborted();
      return runner.run(checked(ids), asked);
    });
  }

  release(): Promise<void> {
    this.#released ??= this.#end();
    return this.#released;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  async #end(): Promise<void> {
    for (const call of this.#calls) call.abort(releasedError());
    this.#memory = undefined;
    this.#recent.prefixCache?.clear();
    await Promise.allSettled(this.#steps);
    await this.#completer.idle();
    const taps = await this.#taps?.catch(() => undefined);
    await taps?.runner.release();
    taps?.close();
    await this.decoder.release();
  }

  #window(window = Math.min(DEFAULT_WINDOW, this.maxPositions)): number {
    if (Number.isInteger(window) && window >= 2 && window <= this.maxPositions) return window;
    throw new RopewalkError(
      `the scoring window must be a whole number from 2 to the model's ${this.maxPositions} positions, but is ${window}.`,
    );
  }

  /** Runs one call with a signal that aborts with the caller's and on {@link release}. */
  async #call<T>({ signal }: Abortable, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const call = this.#begin(signal);
    try {
      return await this.#step(work(call.signal));
    } finally {
      call.end();
    }
  }

  async *#stream<T, R>(
    { signal }: Abortable = {},
    make: (signal: AbortSignal) => AsyncGenerator<T, R>,
  ): AsyncGenerator<T, R> {
    const call = this.#begin(signal);
    const items = make(call.signal);
    try {
      for (;;) {
        const { done, value } = await this.#step(items.next());
        if (done) return value;
        yield value;
        call.signal.throwIfAborted();
      }
    } finally {
      call.end();
      await items.return(undefined as R);
    }
  }

  #begin(signal: AbortSignal | undefined): { signal: AbortSignal; end: () => void } {
    if (this.#released) throw releasedError();
    signal?.throwIfAborted();
    const controller = new AbortController();
    const stopWaiting = onAbort(signal, () => controller.abort(signal?.reason));
    this.#calls.add(controller);
    const end = () => {
      stopWaiting();
      this.#calls.delete(controller);
    };
    return { signal: controller.signal, end };
  }

  /** Tracks what is running, so that the engine is not freed during a run. */
  async #step<T>(step: Promise<T>): Promise<T> {
    this.#steps.add(step);
    try {
      return await step;
    } finally {
      this.#steps.delete(step);
    }
  }
}

/** The error of calls to a released model. */
export function releasedError(): RopewalkError {
  return new ModelEnded('the model has been released; load it again.');
}

/** An Int32Array would silently convert invalid ids, which are the caller's mistakes. */
function checked(ids: ArrayLike<number>): ArrayLike<number> {
  for (let i = 0; i < ids.length; i++) {
    if (!Number.isInteger(ids[i]))
      throw new RopewalkError(`token id ${ids[i]} at position ${i} is not a whole number.`);
  }
  return ids;
}
