import type { SafetensorsFile } from '../../checkpoint/safetensors/safetensors-file.ts';
import type { TensorToWrite } from '../../checkpoint/safetensors/writer.ts';
import { sizeOf } from '../../graph/dims.ts';
import { checkTensor, type OptimizerState } from './optimizer-common.ts';

/** An optimizer's arrays for a safetensors file, each in its own type. */
export function optimizerTensors({ tensors }: OptimizerState): TensorToWrite[] {
  return [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
}

/**
 * Reads saved tensors, or the ranges of them that an optimizer has, directly into an optimizer's own arrays, so that none is in memory twice.
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
    const elements = ({ shape }: { readonly shape: readonly number[] }) => sizeOf(shape);
    checkTensor(
      file.name,
      name,
      { dtype: tensor.dtype, elements: elements(tensor) },
      saved && { dtype: saved.dtype, elements: elements(saved) },
    );
  }
  for (const [name, { data, start = 0 }] of own.tensors) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    await file.readBytesInto(name, bytes, start * data.BYTES_PER_ELEMENT);
  }
  return own.tensors;
}
