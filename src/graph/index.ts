/** Symbolic tensors: programs that use them are recorded as graphs, differentiated, and evaluated in float64. */
export { differentiate } from './differentiate.ts';
export { type Dim, type Shape, type SymbolicDim, symbol } from './dims.ts';
export { evaluate } from './evaluate.ts';
export type { ReduceAttributes, ShapeAttributes } from './operators/broadcast.ts';
export type { MixAttributes } from './operators/distillation.ts';
export * as ops from './operators/index.ts';
export type { ScatterAttributes } from './operators/indexing.ts';
export type { RotaryAttributes } from './operators/rotary.ts';
export type { PaddedMaskAttributes, RotaryAnglesAttributes } from './operators/sequence.ts';
export type {
  ConcatAttributes,
  PadAttributes,
  SliceAttributes,
  SplitAttributes,
  TransposeAttributes,
} from './operators/shape.ts';
export type { SoftcapAttributes } from './operators/softcap.ts';
export { operators } from './operators/table.ts';
export type {
  Attributes,
  DerivativeContext,
  Dialect,
  DType,
  Emitter,
  Node,
  Operator,
  QuantizedWeight,
  Tensor,
  TensorType,
} from './tensor.ts';
export type { Values } from './values.ts';
