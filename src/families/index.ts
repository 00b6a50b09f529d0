/** Model families: their configurations and presets, and the models built from them. */
export {
  type GgufForm,
  type GgufReader,
  type GgufRows,
  type GgufSetting,
  type GgufTensorRule,
  type GgufTransform,
  ggufTensors,
  type NoGguf,
  type RefuseGguf,
} from './common/gguf.ts';
export {
  type LayerType,
  layerTypes,
  readLayerTypes,
  type WindowConfig,
  withTypedLayers,
} from './common/layer-types.ts';
export type { LocalGemmaConfig } from './common/local-gemma.ts';
export type { QwenConfig } from './common/qwen-common.ts';
export type { RopeConfig } from './common/rope-config.ts';
export {
  type RotaryDecoderConfig,
  readRotaryDecoder,
  rotaryLayer,
  rotaryNames,
  rotaryParts,
  withRotaryLayers,
  writeRotaryDecoder,
} from './common/rotary-decoder.ts';
export { type GgufNumber, type RotaryGguf, rotaryGguf } from './common/rotary-gguf.ts';
export {
  type ClassDefaults,
  type CommonConfig,
  ConfigReader,
  type RawConfig,
  readCommon,
  type Warn,
  writeCommon,
} from './config.ts';
export {
  type DecoderNames,
  type DecoderParts,
  defineFamily,
  type LayerParts,
  type NormPlace,
  type RopeParts,
} from './decoder.ts';
export { type Exaone4Config, exaone4 } from './exaone4.ts';
export { exchange, type PartChanges, parseChanges } from './exchange.ts';
export {
  CausalLM,
  type Family,
  type Head,
  type MultimodalForm,
  type Preset,
  type Stages,
  type TrainingFacts,
} from './family.ts';
export { type GemmaConfig, gemma } from './gemma.ts';
export { type Gemma2Config, gemma2 } from './gemma2.ts';
export { type Gemma3Config, gemma3 } from './gemma3.ts';
export { type GptConfig, gpt } from './gpt.ts';
export { type Gpt2Config, gpt2 } from './gpt2.ts';
export { type HyperClovaXConfig, hyperclovax } from './hyperclovax.ts';
export { type GaussianSource, initializeWeights } from './initialize.ts';
export { type LlamaConfig, llama } from './llama.ts';
export { type MistralConfig, mistral } from './mistral.ts';
export { type Qwen2Config, qwen2 } from './qwen2.ts';
export { type Qwen3Config, qwen3 } from './qwen3.ts';
export {
  type BuiltModel,
  type FoundPreset,
  families as all,
  familyByName,
  familyOfConfig,
  findPreset,
  modelFromConfig,
  presetNames,
  type ReadModel,
  registerFamily,
} from './registry.ts';
