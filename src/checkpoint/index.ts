/** Stored models: safetensors, GGUF, and the files next to the weights. */

export type { Checkpoint, RowReader, StoredTensor, TensorReader, TokenizerFiles } from './checkpoint.ts';
export { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './dtypes.ts';
export { type GenerationSettings, readGenerationConfig, type SamplingDefaults } from './generation-config.ts';
export type { SafetensorsHeader } from './safetensors/header.ts';
export {
  openSafetensors,
  type SafetensorsDtype,
  SafetensorsFile,
  type TensorEntry,
} from './safetensors/safetensors-file.ts';
export {
  type ByteData,
  type FloatData,
  type FloatDtype,
  type IntegerValues,
  type TensorToWrite,
  writeSafetensors,
} from './safetensors/writer.ts';
