import type { ChatMessage } from '../../chat/messages.ts';
import type { JsonSchema } from '../../structured/schema/keywords.ts';
import type { SamplingOptions } from '../sampler.ts';
import type { ScoredText } from './token-scores.ts';
import type { ToolCall, ToolChoice, ToolDefinition } from './tool-constraint.ts';

/** What is continued: a text, ids as they are, or a chat by the model's template. */
export type CompletionPrompt =
  | { readonly text: string }
  | { readonly ids: readonly number[] }
  | { readonly messages: readonly ChatMessage[] };

export interface CompletionOptions extends SamplingOptions {
  /** Most tokens to add; default all that there is room for. */
  readonly maxTokens?: number | undefined;
  /** Most tokens of prompt and completion together; default the model's positions. */
  readonly context?: number | undefined;
  /** The text ends before the first of these. */
  readonly stop?: readonly string[] | undefined;
  /** The text is JSON that is valid under this JSON Schema. */
  readonly jsonSchema?: JsonSchema | undefined;
  /** What the assistant may call; for a chat whose template knows tools. */
  readonly tools?: readonly ToolDefinition[] | undefined;
  /** Default `auto`. */
  readonly toolChoice?: ToolChoice | undefined;
  /** Whether several calls may come in one reply; default true. */
  readonly severalCalls?: boolean | undefined;
  /** How many of the likeliest tokens are told with each token, 0 to 20; undefined: no log-probabilities. */
  readonly scores?: number | undefined;
  /** Whether the prompt's own tokens are told with their log-probabilities; needs `scores`. */
  readonly scoresPrompt?: boolean | undefined;
  /** Whose completion it is: places are shared fairly between clients. */
  readonly client?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A completion, piece by piece. */
export type CompletionPiece =
  /** First: everything that was asked for can be done. */
  | { readonly type: 'accepted'; readonly promptTokens: number }
  /** The prompt has run. */
  | {
      readonly type: 'prompt';
      /** Tokens of it that had been run before. */
      readonly cached: number;
      /** Its text and tokens, where they are scored; the first token has no score: nothing precedes it. */
      readonly text?: string;
      readonly scores?: readonly (Omit<ScoredText, 'logprob'> & { readonly logprob: number | null })[];
    }
  /** New text, and with scores the tokens that came with it. */
  | { readonly type: 'text'; readonly text: string; readonly scores?: readonly ScoredText[] }
  | ({ readonly type: 'call' } & ToolCall);

export interface CompletionEnd {
  /** A text or a token that ends it came; no more tokens were wanted; tools are called. */
  readonly end: 'stop' | 'length' | 'calls';
  readonly promptTokens: number;
  readonly newTokens: number;
}
