/** Symbolic tensors: programs that use them are recorded as graphs, differentiated, and evaluated in float64. */
export { differentiate } from './differentiate.ts';
export { type Dim, type Shape, type SymbolicDim, symbol } from './dims.ts';
export { evaluate } from './evaluate.ts';
export * as ops from './operators/index.ts';
export { operators } from './operators/table.ts';
export type { DType, Operator, Tensor, TensorType } from './tensor.ts';
export type { Values } from './values.ts';
