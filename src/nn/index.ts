/** Parts of models: modules, norms, positions, attention. */
export { CachedSequence, FullSequence, type LayerCache, type SequenceContext } from './attention.ts';
export { Embedding } from './embedding.ts';
export { Conv1D, Dropout, Linear } from './linear.ts';
export { Activation, type ActivationKind } from './mlp.ts';
export { type Initializer, Module, ModuleList, nameParameters, Parameter, Sequential } from './module.ts';
export { LayerNorm, RMSNorm } from './norm.ts';
export type { AttentionPart, MlpPart, NormPart, Part, PositionPart } from './parts.ts';
export { LearnedPositions, RotaryEmbedding, SinusoidalPositions } from './positions.ts';
export type { RopeScaling } from './rope-scaling.ts';
