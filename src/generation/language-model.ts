import type { ChatMessage } from '../chat/messages.ts';
import type { CommonConfig } from '../families/config.ts';
import type { Family } from '../families/family.ts';
import type { ChatOptions, ReplyEnd } from './chat.ts';
import type {
  CompletionEnd,
  CompletionOptions,
  CompletionPiece,
  CompletionPrompt,
} from './completion/completion.ts';
import type { Batching } from './completion/scheduler.ts';
import type { SamplingOptions } from './sampler.ts';
import type { Score } from './score.ts';
import type { TapOptions, TapResult } from './taps/taps.ts';
import type { TextEnd, TextOptions } from './text-stream.ts';

/** A call that an AbortSignal can stop: it rejects with the signal's reason. */
export interface Abortable {
  readonly signal?: AbortSignal | undefined;
}

/** {@link TextOptions} without functions and objects that cannot be sent to another thread. */
export type ModelTextOptions = Omit<TextOptions, 'constraint' | 'seen' | 'prefixCache' | 'speculate'> & {
  /** Speculates that the text repeats itself; see `GenerationOptions`. */
  readonly speculate?: 'lookup';
};

export type ModelTokenOptions = Omit<ModelTextOptions, 'stop' | 'jsonSchema'>;

export interface ModelChatOptions extends Omit<ChatOptions, 'memory' | 'prefixCache' | 'speculate'> {
  /** Speculates that the text repeats itself; see `GenerationOptions`. */
  readonly speculate?: 'lookup';
  /**
   * The Jinja source of a chat template to use instead of the model's own, or the name of another of the model's
   * templates (`rag`).
   */
  readonly template?: string;
  /**
   * Keeps the cache of this chat, so that the next reply of the same chat runs only its new messages. One chat is
   * remembered; while it is being answered, others run as if this were not set. The last digits may differ from a
   * chat that is run as a whole. Default false.
   */
  readonly remember?: boolean;
}

export interface ModelScoreOptions extends Abortable {
  /** Longest window in tokens; default 1024, at most the model's positions. */
  readonly window?: number;
}

/**
 * A loaded model with its tokenizer, wherever it runs: in a worker thread (`load`) or in the caller's (`loadHere`).
 * Everything works the same in both.
 *
 * Several calls may run at once; each sequence has its own cache, and the model alternates between them, a token or a
 * chunk of 256 prompt tokens at a time. Each gets the same tokens as alone.
 *
 * A signal stops the model before its next run, and the call rejects with the signal's reason; so does leaving a `for
 * await` early. Errors are RopewalkErrors with the same messages in both.
 */
export interface LanguageModel extends AsyncDisposable {
  readonly family: Family;
  readonly config: CommonConfig;
  /** The most tokens of a sequence. */
  readonly maxPositions: number;
  /** Ids that end a text, unless `generate` is given others. */
  readonly stopTokens: readonly number[];
  /**
   * Default sampling of calls: from generation_config.json, as transformers' `generate()` reads it; empty if it says
   * nothing.
   */
  readonly sampling: SamplingOptions;
  /** Statements of the model's files that are wrong or not followed, each a sentence. */
  readonly warnings: readonly string[];
  /** How many completions run at the same time, and whether they are batched. */
  readonly batching: Batching;

  /**
   * Continues a text, piece by piece, in whole characters. Special tokens are left out.
   *
   * @returns why it ended.
   * @throws RopewalkError if prompt and new tokens exceed the model's positions.
   */
  generate(prompt: string, options: ModelTextOptions): AsyncGenerator<string, TextEnd>;

  /**
   * Continues a sequence of token ids, one token at a time, until one of `stopTokens`, which is returned as the last.
   *
   * @param prompt at least one id.
   */
  generateTokens(prompt: ArrayLike<number>, options: ModelTokenOptions): AsyncGenerator<number, void>;

  /**
   * Generates the assistant's next message, piece by piece, with the model's chat template.
   *
   * @returns why it ended.
   * @throws RopewalkError if there is no template, and for messages that it refuses.
   */
  chat(messages: readonly ChatMessage[], options?: ModelChatOptions): AsyncGenerator<string, ReplyEnd>;

  /**
   * Completes a text or a chat like a server: simultaneous calls are batched, one token of each per run of the model,
   * and each gets the same tokens as alone; optionally with log-probabilities and tool calls.
   *
   * @returns pieces, of which `accepted` is the first, and how it ended.
   * @throws RopewalkError before the first piece if the request cannot be fulfilled.
   */
  complete(
    prompt: CompletionPrompt,
    options?: CompletionOptions,
  ): AsyncGenerator<CompletionPiece, CompletionEnd>;

  /** A text's ids, including special tokens unless `addSpecialTokens` is false. */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean } & Abortable): Promise<number[]>;

  /** The text of ids. */
  decode(
    ids: ArrayLike<number>,
    options?: { readonly skipSpecialTokens?: boolean } & Abortable,
  ): Promise<string>;

  /**
   * How well the model predicts a text or a sequence of ids.
   *
   * @throws RopewalkError for fewer than two tokens.
   */
  score(text: string | ArrayLike<number>, options?: ModelScoreOptions): Promise<Score>;

  /** Logits after each token of a sequence, including the final cap: `[tokens, vocab]`, row-major. */
  logits(ids: ArrayLike<number>, options?: Abortable): Promise<Float32Array>;

  /**
   * Runs whole sequences and returns, or replaces, values inside the model: attention scores, the residual stream,
   * logits before the cap. It uses float32 weights, whatever this model decodes with, and reads them on the first
   * call.
   *
   * @param ids at least one id.
   * @throws RopewalkError for a name that this model does not have, listing those that it has.
   */
  run(ids: ArrayLike<number>, options?: TapOptions & Abortable): Promise<TapResult>;

  /** Stops running calls, which reject, and frees the model's memory. */
  release(): Promise<void>;
}
