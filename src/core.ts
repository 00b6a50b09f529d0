/**
 * Everything in Ropewalk that runs both in Node and in browsers. `ropewalk` itself adds Node's files and engine; a
 * page imports `ropewalk/core` (or `ropewalk`, which bundlers for browsers resolve to it) and passes its
 * onnxruntime-web to `runtime.webEngine`.
 *
 * What most programs use is exported directly; the rest is in a namespace for each room of the source, from the
 * room's own index. No name is exported twice.
 */
export * as chat from './chat/index.ts';
export type { ChatMessage } from './chat/messages.ts';
export * as checkpoint from './checkpoint/index.ts';
export * as data from './data/index.ts';
export * as distillation from './distillation/index.ts';
export {
  type MessagePart,
  messageText,
  type NamedOption,
  type OptionValue,
  RopewalkError,
  type SpellOption,
} from './errors.ts';
export * as families from './families/index.ts';
export * as files from './files/index.ts';
export * as generation from './generation/index.ts';
export type {
  Abortable,
  LanguageModel,
  ModelChatOptions,
  ModelScoreOptions,
  ModelTextOptions,
  ModelTokenOptions,
} from './generation/language-model.ts';
export { LocalModel, type ModelParts } from './generation/local-model.ts';
export type { Score } from './generation/score.ts';
export * as graph from './graph/index.ts';
export type { ChosenData } from './hub/choose-data.ts';
export { compare } from './inspect/compare.ts';
export * as inspect from './inspect/index.ts';
export * as nn from './nn/index.ts';
export * as onnx from './onnx/index.ts';
export type { Quantization } from './onnx/quantize.ts';
export { Random } from './random.ts';
export * as runtime from './runtime/index.ts';
export * as structured from './structured/index.ts';
export type { JsonSchema } from './structured/schema/keywords.ts';
export * as text from './text/index.ts';
export * as tokenizer from './tokenizer/index.ts';
export * as training from './training/index.ts';
export * as vocabulary from './vocabulary/index.ts';
