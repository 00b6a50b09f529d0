/** Stored models: directories, safetensors, GGUF, and the files next to the weights. */
export { type ModelDirectory, openModelDirectory } from './directory.node.ts';
export * from './index.ts';
export { readWeights, tokenizerOf } from './load.node.ts';
export { type ModelToSave, saveModelDirectory, type TensorToSave } from './save.node.ts';
