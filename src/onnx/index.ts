/** Graphs as ONNX models. */
export {
  type EmitOptions,
  type EmittedModel,
  emitModel,
  type ProductPart,
  type ProductWeight,
  type ProvidedTensor,
  type ProvidedWeight,
} from './emit.ts';
export type {
  QuantizedArrays,
  QuantizedMatrix,
  QuantizedSource,
  RowLookup,
  WeightInFile,
  WeightSource,
} from './weights.ts';
