import type { SafetensorsFile } from '../../checkpoint/safetensors/safetensors-file.ts';
import type { TensorToWrite } from '../../checkpoint/safetensors/writer.ts';
import { sizeOf } from '../../graph/dims.ts';
import { checkTensor, type OptimizerState } from './optimizer-common.ts';

/** An optimizer's arrays for a safetensors file, each in its own type. */
export function optimizerTensors({ tensors }: OptimizerState): TensorToWrite[] {
  return [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
}

/**
 * Reads saved tensors directly into an optimizer's own arrays, so that none is in memory twice.
 *
 * @param own the state of the optimizer that will continue; restore it with the saved step counts and these tensors.
 * @throws RopewalkError naming the file, before anything is read, if it does not fit.
 */
export async function readOptimizerTensors(
  file: SafetensorsFile,
  own: OptimizerState,
): Promise<OptimizerState['tensors']> {
  for (const [name, tensor] of own.tensors) {
    const saved = file.tensors.get(name);
    checkTensor(file.name, name, tensor, saved && { dtype: saved.dtype, elements: sizeOf(saved.shape) });
  }
  for (const [name, { data }] of own.tensors) {
    await file.readBytesInto(name, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return own.tensors;
}
