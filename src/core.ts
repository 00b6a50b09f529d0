/**
 * Everything of Ropewalk that runs in Node and in the browser alike. Node's files and engine are added by `ropewalk`
 * itself; a page imports `ropewalk/core` and passes its onnxruntime-web to {@link webEngine}.
 */

export {
  type Batch,
  BatchSampler,
  type BatchSamplerState,
  type BatchSource,
  type EvaluationBatch,
  evaluationBatches,
  type TrainingBatch,
  type TrainingRows,
} from './batches.ts';
export { chatStopTokens, type EncodeChatOptions, encodeChat } from './chat/encode.ts';
export type { ChatMessage, TextPart } from './chat/messages.ts';
export type { RenderedChat } from './chat/rendered.ts';
export { ChatTemplate, type RenderOptions } from './chat/template.ts';
export {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from './checkpoint/dtypes.ts';
export {
  type GenerationSettings,
  readGenerationConfig,
  type SamplingDefaults,
} from './checkpoint/generation-config.ts';
export {
  openSafetensors,
  type SafetensorsDtype,
  SafetensorsFile,
  type TensorEntry,
} from './checkpoint/safetensors/safetensors-file.ts';
export { type FloatDtype, type TensorToWrite, writeSafetensors } from './checkpoint/safetensors/writer.ts';
export { type EncodeExampleOptions, encodeExample, type TrainOn } from './data/encode-example.ts';
export {
  evaluationRows,
  type PackedRows,
  PackedSource,
  type PackedState,
  type PackingOptions,
} from './data/packed-source.ts';
export { type PreviewRun, previewRuns } from './data/preview.ts';
export { type DataReport, type DroppedRows, type LengthSummary, ReportBuilder } from './data/report.ts';
export type { DataColumns, TrainingText } from './data/row-form.ts';
export { namedTemplate, TEMPLATE_NAMES, type TemplateName } from './data/templates.ts';
export { type DatasetView, datasetOf, type Example, splitDataset } from './data/view.ts';
export { type ChosenEntries, largest, sampled } from './distillation/choose.ts';
export { type DistillationSettings, offlineLoss, onlineLoss, TEACHER_INPUTS } from './distillation/losses.ts';
export { OnlineSource } from './distillation/online-source.ts';
export { Teacher, type TeacherWeights } from './distillation/teacher.ts';
export { RopewalkError } from './errors.ts';
export type { RopeConfig } from './families/common/rope-config.ts';
export type { CommonConfig, RawConfig } from './families/config.ts';
export { CausalLM, type Family, type Head, type Preset, type TrainingFacts } from './families/family.ts';
export { type GemmaConfig, gemma } from './families/gemma.ts';
export { type Gemma2Config, gemma2 } from './families/gemma2.ts';
export { type GptConfig, gpt } from './families/gpt.ts';
export { type Gpt2Config, gpt2 } from './families/gpt2.ts';
export { type GaussianSource, initializeWeights } from './families/initialize.ts';
export { type LlamaConfig, llama } from './families/llama.ts';
export {
  type BuiltModel,
  type FoundPreset,
  families,
  familyByName,
  familyOfConfig,
  findPreset,
  modelFromConfig,
  presetNames,
} from './families/registry.ts';
export { type ByteSink, type ByteSource, memorySink, memorySource } from './files/source.ts';
export {
  type BatchOptions,
  type BatchSettings,
  type BatchToken,
  GenerationBatch,
  generateBatch,
} from './generation/batch.ts';
export { generateTexts, type TextPiece } from './generation/batch-texts.ts';
export { BatchCache } from './generation/cache/batch-cache.ts';
export { KeyValueCache } from './generation/cache/key-value-cache.ts';
export { PrefixCache, type PrefixCacheOptions } from './generation/cache/prefix-cache.ts';
export {
  type ChatFunction,
  ChatMemory,
  type ChatModel,
  type ChatOptions,
  generateReply,
  type ReplyEnd,
} from './generation/chat.ts';
export { Decoder, fullLogitsGraph, logitsOf } from './generation/decoder.ts';
export { type GenerationOptions, generateTokens, prefill } from './generation/generate.ts';
export { generateText } from './generation/generate-text.ts';
export type {
  Abortable,
  LanguageModel,
  ModelChatOptions,
  ModelScoreOptions,
  ModelTextOptions,
  ModelTokenOptions,
} from './generation/language-model.ts';
export { LocalModel, type ModelParts } from './generation/local-model.ts';
export { argmax, distribution, Sampler, type SamplingOptions } from './generation/sampler.ts';
export { withSamplingDefaults } from './generation/sampling-defaults.ts';
export {
  cachedLogits,
  fullLogits,
  type LogitRows,
  type Score,
  Scorer,
  scoringWindows,
} from './generation/score.ts';
export { checkDraftTokenizer } from './generation/speculate/draft-tokenizer.ts';
export type { Speculation } from './generation/speculate/speculate.ts';
export { StopStrings } from './generation/stop-strings.ts';
export { type TapOptions, type TapResult, TapRunner, type TapValue } from './generation/taps/taps.ts';
export type { TextEnd, TextOptions } from './generation/text-stream.ts';
export { differentiate } from './graph/differentiate.ts';
export { type Dim, type Shape, type SymbolicDim, symbol } from './graph/dims.ts';
export { evaluate } from './graph/evaluate.ts';
export * as ops from './graph/operators/index.ts';
export { operators } from './graph/operators/table.ts';
export type { DType, Operator, Tensor, TensorType } from './graph/tensor.ts';
export type { Values } from './graph/values.ts';
export { type ComparisonTable, compare, footnotes, type Row, tables } from './inspect/compare.ts';
export {
  attentionFlopsPerToken,
  cacheBytes,
  cacheBytesPerToken,
  type NumberFormat,
  weightFlopsPerToken,
} from './inspect/costs.ts';
export { blockDiagram } from './inspect/diagram.ts';
export { type DiffRow, diffTrees, type FieldChange, type Mark } from './inspect/diff.ts';
export { type DiffTextOptions, renderDiff } from './inspect/diff-text.ts';
export type { Locale } from './inspect/labels.ts';
export { type NamedModel, namedPreset } from './inspect/named-model.ts';
export { type ModelSummary, summarize } from './inspect/summary.ts';
export { printTree, type TreeOptions } from './inspect/tree.ts';
export { CachedSequence, FullSequence, type LayerCache, type SequenceContext } from './nn/attention.ts';
export { Embedding } from './nn/embedding.ts';
export { Conv1D, Dropout, Linear } from './nn/linear.ts';
export { Activation, type ActivationKind } from './nn/mlp.ts';
export {
  type Initializer,
  Module,
  ModuleList,
  nameParameters,
  Parameter,
  Sequential,
} from './nn/module.ts';
export { LayerNorm, RMSNorm } from './nn/norm.ts';
export type { AttentionPart, MlpPart, NormPart, Part, PositionPart } from './nn/parts.ts';
export {
  LearnedPositions,
  RotaryEmbedding,
  SinusoidalPositions,
} from './nn/positions.ts';
export type { RopeScaling } from './nn/rope-scaling.ts';
export { type EmitOptions, type EmittedModel, emitModel, type WeightSource } from './onnx/emit.ts';
export { Random } from './random.ts';
export type { Engine, EngineSettings, OnnxRuntime, SessionSettings } from './runtime/engine.ts';
export { type OnnxRuntimeWeb, type WebSettings, webEngine } from './runtime/engine.web.ts';
export { type CompileOptions, Executable, type HostArray, type HostTensor } from './runtime/executable.ts';
export { HostMemory } from './runtime/host-memory.ts';
export type { TokenConstraint } from './structured/constraint.ts';
export {
  type CompiledJsonSchema,
  compileJsonSchema,
  type JsonConstraintOptions,
} from './structured/json-schema.ts';
export type { JsonSchema } from './structured/schema/keywords.ts';
export {
  type EncodeCorpusOptions,
  encodeCorpus,
  encodeCorpusAsync,
  splitCorpus,
} from './text/corpus.ts';
export { fitBigram, fitUnigram, meanNegativeLogLikelihood, type NgramModel } from './text/ngram.ts';
export {
  type AddedTokenFiles,
  type JoinedTokenizer,
  joinTokenizerFiles,
} from './tokenizer/added-token-files.ts';
export { type BpeTrainerOptions, bpeTokenizerConfig, trainBpe } from './tokenizer/bpe-trainer.ts';
export { StreamDecoder } from './tokenizer/stream.ts';
export { Tokenizer } from './tokenizer/tokenizer.ts';
export type { TokenizerJson } from './tokenizer/tokenizer-schema.ts';
export { BlockLearner, type BlockLearnerOptions } from './training/blocks/block-learner.ts';
export { clipCoefficient, globalNorm } from './training/clip.ts';
export {
  createLearner,
  type LearnerOptions,
  type MemoryMode,
} from './training/create-learner.ts';
export { type RatePoint, type RateSearch, searchRate, suggestRate } from './training/find-rate.ts';
export {
  gradientName,
  lossGraph,
  type SequenceShape,
  type TrainingGraphOptions,
  trainingGraph,
} from './training/graph.ts';
export { type GuardSettings, LossGuard } from './training/guard.ts';
export type { Learner, StepResult, TrainedParameter, UpdateSettings } from './training/learner.ts';
export { crossEntropy, headChunk, type Loss, type LossGraph, type LossInputs } from './training/loss.ts';
export {
  type CreateOptimizerOptions,
  createOptimizer,
  OPTIMIZER_STATES,
  OPTIMIZERS,
  type OptimizerKind,
  type OptimizerStates,
  type SizedOptimizer,
} from './training/optimizers/create-optimizer.ts';
export {
  Adafactor,
  type AdafactorOptions,
  AdamW,
  type AdamWOptions,
  allocateTrainable,
  type OptimizedParameter,
  type Optimizer,
  type OptimizerState,
  type ParameterShape,
  Sgd,
  type StateTensor,
  type StepSettings,
  type Trainable,
} from './training/optimizers/optimizer.ts';
export { createSchedule, type Schedule, type ScheduleSettings } from './training/schedule.ts';
export {
  type TrainEvent,
  Trainer,
  type TrainerParts,
  type TrainerSettings,
  type TrainerState,
} from './training/trainer.ts';
export { WholeGraphLearner, type WholeGraphLearnerOptions } from './training/whole-graph-learner.ts';
