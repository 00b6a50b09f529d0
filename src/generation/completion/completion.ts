import type { ChatMessage } from '../../chat/messages.ts';
import type { JsonSchema } from '../../structured/schema/keywords.ts';
import type { SamplingOptions } from '../sampler.ts';
import type { ScoredText } from './token-scores.ts';
import type { ToolCall, ToolChoice, ToolDefinition } from './tool-constraint.ts';

/** The prompt: a text, ids, or a chat for the model's template. */
export type CompletionPrompt =
  | { readonly text: string }
  | { readonly ids: readonly number[] }
  | { readonly messages: readonly ChatMessage[] };

export interface CompletionOptions extends SamplingOptions {
  /** The maximum number of tokens to add; default as many as fit. */
  readonly maxTokens?: number | undefined;
  /** The maximum number of tokens of prompt and completion together; default the model's positions. */
  readonly context?: number | undefined;
  /** The text ends before the first of these. */
  readonly stop?: readonly string[] | undefined;
  /** The text is JSON that is valid under this JSON Schema. */
  readonly jsonSchema?: JsonSchema | undefined;
  /** The tools that the assistant may call; for a chat whose template supports tools. */
  readonly tools?: readonly ToolDefinition[] | undefined;
  /** Default `auto`. */
  readonly toolChoice?: ToolChoice | undefined;
  /** Whether a reply may contain several calls; default true. */
  readonly severalCalls?: boolean | undefined;
  /** How many of the most likely tokens to report for each token, 0 to 20; undefined: no log-probabilities. */
  readonly scores?: number | undefined;
  /** Whether to report log-probabilities of the prompt's tokens; needs `scores`. */
  readonly scoresPrompt?: boolean | undefined;
  /** The client of the completion: slots are shared fairly between clients. */
  readonly client?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A completion, piece by piece. */
export type CompletionPiece =
  /** First: the request is valid and can be fulfilled. */
  | { readonly type: 'accepted'; readonly promptTokens: number }
  /** The prompt has been processed. */
  | {
      readonly type: 'prompt';
      /** The number of its tokens that were in the cache. */
      readonly cached: number;
      /** Its text and tokens, if they are scored; the first token has no score, since nothing precedes it. */
      readonly text?: string;
      readonly scores?: readonly (Omit<ScoredText, 'logprob'> & { readonly logprob: number | null })[];
    }
  /** New text, with its scored tokens if requested. */
  | { readonly type: 'text'; readonly text: string; readonly scores?: readonly ScoredText[] }
  | ({ readonly type: 'call' } & ToolCall);

export interface CompletionEnd {
  /** A stop text or stop token was generated; the token limit was reached; tools are called. */
  readonly end: 'stop' | 'length' | 'calls';
  readonly promptTokens: number;
  readonly newTokens: number;
}
