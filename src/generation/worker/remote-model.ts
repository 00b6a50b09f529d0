import type { ChatMessage } from '../../chat/messages.ts';
import type { CommonConfig } from '../../families/config.ts';
import type { Family } from '../../families/family.ts';
import { familyByName } from '../../families/registry.ts';
import type { ReplyEnd } from '../chat.ts';
import type {
  CompletionEnd,
  CompletionOptions,
  CompletionPiece,
  CompletionPrompt,
} from '../completion/completion.ts';
import type { Batching } from '../completion/scheduler.ts';
import type {
  Abortable,
  LanguageModel,
  ModelChatOptions,
  ModelScoreOptions,
  ModelTextOptions,
  ModelTokenOptions,
} from '../language-model.ts';
import type { SamplingOptions } from '../sampler.ts';
import type { Score } from '../score.ts';
import type { TapOptions, TapResult } from '../taps/taps.ts';
import type { TextEnd } from '../text-stream.ts';
import { ModelConnection, type ModelPort } from './model-connection.ts';
import type { ModelFacts } from './model-protocol.ts';

/** A model that runs in another thread. */
export class RemoteModel implements LanguageModel {
  readonly family: Family;
  readonly config: CommonConfig;
  readonly maxPositions: number;
  readonly stopTokens: readonly number[];
  readonly sampling: SamplingOptions;
  readonly warnings: readonly string[];
  readonly batching: Batching;
  readonly #thread: ModelConnection;

  private constructor(thread: ModelConnection, facts: ModelFacts) {
    this.#thread = thread;
    this.family = familyByName(facts.family);
    this.config = facts.config;
    this.maxPositions = facts.maxPositions;
    this.stopTokens = facts.stopTokens;
    this.sampling = facts.sampling;
    this.warnings = facts.warnings;
    this.batching = facts.batching;
  }

  /** Loads a model in a thread, which ends if that fails. */
  static async load(port: ModelPort, idOrPath: string, options: Abortable = {}): Promise<RemoteModel> {
    const thread = new ModelConnection(port);
    try {
      return new RemoteModel(thread, (await thread.call('load', idOrPath, options)) as ModelFacts);
    } catch (error) {
      // The thread closes what it was reading; the caller need not wait for that.
      void thread.release();
      throw error;
    }
  }

  generate(prompt: string, options: ModelTextOptions): AsyncGenerator<string, TextEnd> {
    return this.#thread.stream('generate', prompt, options);
  }

  generateTokens(prompt: ArrayLike<number>, options: ModelTokenOptions): AsyncGenerator<number, void> {
    return this.#thread.stream('generateTokens', Array.from(prompt), options);
  }

  chat(messages: readonly ChatMessage[], options: ModelChatOptions = {}): AsyncGenerator<string, ReplyEnd> {
    return this.#thread.stream('chat', messages, options);
  }

  complete(
    prompt: CompletionPrompt,
    options: CompletionOptions = {},
  ): AsyncGenerator<CompletionPiece, CompletionEnd> {
    return this.#thread.stream('complete', prompt, options);
  }

  encode(text: string, options: { readonly addSpecialTokens?: boolean } & Abortable = {}) {
    return this.#thread.call('encode', text, options) as Promise<number[]>;
  }

  decode(ids: ArrayLike<number>, options: { readonly skipSpecialTokens?: boolean } & Abortable = {}) {
    return this.#thread.call('decode', Array.from(ids), options) as Promise<string>;
  }

  score(text: string | ArrayLike<number>, options: ModelScoreOptions = {}) {
    const subject = typeof text === 'string' ? text : Array.from(text);
    return this.#thread.call('score', subject, options) as Promise<Score>;
  }

  logits(ids: ArrayLike<number>, options: Abortable = {}) {
    return this.#thread.call('logits', Array.from(ids), options) as Promise<Float32Array>;
  }

  run(ids: ArrayLike<number>, options: TapOptions & Abortable = {}) {
    return this.#thread.call('run', Array.from(ids), options) as Promise<TapResult>;
  }

  release(): Promise<void> {
    return this.#thread.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}
