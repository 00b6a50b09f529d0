export * from './activations.ts';
export * from './attention.ts';
export {
  broadcastTo,
  broadcastToOp,
  reduceSum,
  reduceSumOp,
  reshape,
  reshapeOp,
  sumTo,
} from './broadcast.ts';
export * from './cached-attention.ts';
export * from './distillation.ts';
export * from './elementwise.ts';
export { type HeadLoss, headLogits, type LinearHead } from './head.ts';
export * from './indexing.ts';
export * from './loss.ts';
export * from './matmul.ts';
export { layerNorm, layerNormOp, type NormAttributes, rmsNorm, rmsNormOp } from './norms.ts';
export * from './reduce.ts';
export * from './rotary.ts';
export * from './sequence.ts';
export * from './shape.ts';
export * from './softcap.ts';
export * from './sources.ts';
