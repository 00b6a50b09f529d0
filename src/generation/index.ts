/** Running models: decoders and their caches, sampling, scoring, batches, taps. */
export {
  type BatchOptions,
  type BatchSettings,
  type BatchToken,
  GenerationBatch,
  generateBatch,
} from './batch.ts';
export { generateTexts, type TextPiece } from './batch-texts.ts';
export { BatchCache } from './cache/batch-cache.ts';
export { type KeysAndValues, KeyValueCache } from './cache/key-value-cache.ts';
export type { LayerRows } from './cache/layer-rows.ts';
export { PrefixCache, type PrefixCacheOptions } from './cache/prefix-cache.ts';
export {
  type ChatFunction,
  ChatMemory,
  type ChatModel,
  type ChatOptions,
  generateReply,
  type ReplyEnd,
} from './chat.ts';
export type {
  CompletionEnd,
  CompletionOptions,
  CompletionPiece,
  CompletionPrompt,
} from './completion/completion.ts';
export type { Batching } from './completion/scheduler.ts';
export type { LikelyText, LikelyToken, ScoredText, TokenText } from './completion/token-scores.ts';
export type { ToolCall, ToolChoice, ToolDefinition } from './completion/tool-constraint.ts';
export { Decoder, fullLogitsGraph, type LogitPositions, logitsOf } from './decoder.ts';
export { type Distribution, distribution } from './distribution.ts';
export { type GenerationOptions, generateTokens } from './generate.ts';
export { generateText, type TokenPiece } from './generate-text.ts';
export type { OpenTaps } from './local-model.ts';
export { prefill } from './prefill.ts';
export { argmax, Sampler, type SamplingOptions } from './sampler.ts';
export { withSamplingDefaults } from './sampling-defaults.ts';
export { cachedLogits, fullLogits, type LogitRows, Scorer, scoringWindows } from './score.ts';
export { checkDraftTokenizer } from './speculate/draft-tokenizer.ts';
export type { Speculation } from './speculate/speculate.ts';
export { StopStrings } from './stop-strings.ts';
export { type TapOptions, type TapResult, TapRunner, type TapValue } from './taps/taps.ts';
export type { TextEnd, TextOptions } from './text-stream.ts';
