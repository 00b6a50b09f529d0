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

/** As {@link TextOptions}, but for programs of the caller's, which cannot be sent to another thread. */
export type ModelTextOptions = Omit<TextOptions, 'constraint' | 'seen' | 'prefixCache' | 'speculate'> & {
  /** Guesses that the text continues as it did before: see `GenerationOptions`. */
  readonly speculate?: 'lookup';
};

export type ModelTokenOptions = Omit<ModelTextOptions, 'stop' | 'jsonSchema'>;

export interface ModelChatOptions extends Omit<ChatOptions, 'memory' | 'prefixCache' | 'speculate'> {
  /** Guesses that the text continues as it did before: see `GenerationOptions`. */
  readonly speculate?: 'lookup';
  /** The Jinja source of a chat template instead of the model's own, or the name of another one of the model's (`rag`). */
  readonly template?: string;
  /**
   * Keeps the keys and values of this chat, so that the next reply of the same chat runs its new messages only. One chat
   * is remembered; while it is being answered, others run as if this were not set. Rounding may differ in the last
   * digits from a chat that is run as a whole. Default false.
   */
  readonly remember?: boolean;
}

export interface ModelScoreOptions extends Abortable {
  /** Longest piece in tokens that is predicted from its own beginning; default 1024, at most the model's positions. */
  readonly window?: number;
}

/**
 * A model with its tokenizer, ready to be used, wherever it runs: in a worker thread (`load`) or in the caller's
 * (`loadHere`). Everything works the same in both.
 *
 * Several calls may run at once; each sequence has a cache of its own, and the model takes turns between them, a token
 * or a chunk of 256 prompt tokens at a time. The tokens of each are those that it would have alone.
 *
 * A signal stops the model before its next run, and the call rejects with the signal's reason; so does leaving a
 * `for await` early. Errors are RopewalkErrors with the same messages in both.
 */
export interface LanguageModel extends AsyncDisposable {
  readonly family: Family;
  readonly config: CommonConfig;
  /** Most tokens of a sequence. */
  readonly maxPositions: number;
  /** Ids that end a text, unless `generate` is given others. */
  readonly stopTokens: readonly number[];
  /**
   * Sampling where a call's options do not say otherwise: what generation_config.json wants, as transformers'
   * `generate()` reads it; empty where it says nothing.
   */
  readonly sampling: SamplingOptions;
  /** What the model's files say that is not so, or not done, each a sentence. */
  readonly warnings: readonly string[];
  /** How many completions run at one time, and whether together. */
  readonly batching: Batching;

  /**
   * Continues a text, piece by piece, never with half a character. Special tokens are left out.
   *
   * @returns why it ended.
   * @throws RopewalkError when prompt and new tokens do not fit into the model's positions.
   */
  generate(prompt: string, options: ModelTextOptions): AsyncGenerator<string, TextEnd>;

  /**
   * Continues a sequence of token ids, one token at a time, until one of `stopTokens`, which is the last that comes.
   *
   * @param prompt at least one id.
   */
  generateTokens(prompt: ArrayLike<number>, options: ModelTokenOptions): AsyncGenerator<number, void>;

  /**
   * Writes the assistant's next message, piece by piece, by the model's chat template.
   *
   * @returns why it ended.
   * @throws RopewalkError where there is no template, and for messages that it refuses.
   */
  chat(messages: readonly ChatMessage[], options?: ModelChatOptions): AsyncGenerator<string, ReplyEnd>;

  /**
   * Completes a text or a chat as a server does: several at once run together, a token of all of them in one run of the
   * model, and each has the tokens that it would have alone; with log-probabilities and tool calls where they are wanted.
   *
   * @returns pieces, of which `accepted` is the first, and how it ended.
   * @throws RopewalkError before the first piece where something that was asked for cannot be done.
   */
  complete(
    prompt: CompletionPrompt,
    options?: CompletionOptions,
  ): AsyncGenerator<CompletionPiece, CompletionEnd>;

  /** A text's ids, with what the tokenizer puts around a text unless `addSpecialTokens` is false. */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean } & Abortable): Promise<number[]>;

  /** The text of ids. */
  decode(
    ids: ArrayLike<number>,
    options?: { readonly skipSpecialTokens?: boolean } & Abortable,
  ): Promise<string>;

  /**
   * How well the model predicts a text or a sequence of ids.
   *
   * @throws RopewalkError for less than two tokens.
   */
  score(text: string | ArrayLike<number>, options?: ModelScoreOptions): Promise<Score>;

  /** Logits of the token after each of a sequence, the final cap included: `[tokens, vocab]`, row-major. */
  logits(ids: ArrayLike<number>, options?: Abortable): Promise<Float32Array>;

  /**
   * Runs whole sequences and returns, or replaces, values inside the model: attention scores, the residual stream, logits
   * before the cap. It works with the weights in float32, whatever this model decodes with, and reads them when it is first
   * called.
   *
   * @param ids at least one id.
   * @throws RopewalkError for a name that this model does not have, naming those that it has.
   */
  run(ids: ArrayLike<number>, options?: TapOptions & Abortable): Promise<TapResult>;

  /** Stops what is running, which rejects, and returns the model's memory. */
  release(): Promise<void>;
}
