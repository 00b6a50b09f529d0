/** Families of models: their configurations, their presets, and models built from either. */
export type { RopeConfig } from './common/rope-config.ts';
export type { CommonConfig, RawConfig } from './config.ts';
export { type DecoderNames, type DecoderParts, defineFamily } from './decoder.ts';
export { exchange, type PartChanges, parseChanges } from './exchange.ts';
export { CausalLM, type Family, type Head, type Preset, type TrainingFacts } from './family.ts';
export { type GemmaConfig, gemma } from './gemma.ts';
export { type Gemma2Config, gemma2 } from './gemma2.ts';
export { type GptConfig, gpt } from './gpt.ts';
export { type Gpt2Config, gpt2 } from './gpt2.ts';
export { type GaussianSource, initializeWeights } from './initialize.ts';
export { type LlamaConfig, llama } from './llama.ts';
export {
  type BuiltModel,
  type FoundPreset,
  families,
  familyByName,
  familyOfConfig,
  findPreset,
  modelFromConfig,
  presetNames,
} from './registry.ts';
