/** Graphs as ONNX models. */
export { type EmitOptions, type EmittedModel, emitModel } from './emit.ts';
export type { WeightSource } from './weights.ts';
