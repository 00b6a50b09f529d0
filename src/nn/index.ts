/** Parts of models: modules, norms, positions, attention. */
export {
  type AttentionSettings,
  CachedSequence,
  FullSequence,
  type LayerCache,
  type Packing,
  type SequenceContext,
} from './attention.ts';
export { Embedding } from './embedding.ts';
export type { ChildNames, ModuleNames } from './layout.ts';
export { Conv1D, Dropout, Linear, type LinearLayout } from './linear.ts';
export { Activation, type ActivationKind, type MlpRole } from './mlp.ts';
export { type Initializer, Module, ModuleList, nameParameters, Parameter, Sequential } from './module.ts';
export { LayerNorm, type NormSettings, RMSNorm } from './norm.ts';
export type { AttentionPart, MlpPart, NormPart, Part, PositionPart } from './parts.ts';
export { LearnedPositions, RotaryEmbedding, type RotaryTable, SinusoidalPositions } from './positions.ts';
export type {
  DynamicScaling,
  LinearScaling,
  Llama3Scaling,
  RopeScaling,
  YarnScaling,
} from './rope-scaling.ts';
export type { AttentionRole } from './self-attention.ts';
export type { Taps } from './taps.ts';
