import type { SafetensorsFile } from '../../checkpoint/safetensors/safetensors-file.ts';
import type { TensorToWrite } from '../../checkpoint/safetensors/writer.ts';
import { sizeOf } from '../../graph/dims.ts';
import { checkTensor, type OptimizerState, type StateTensor } from './optimizer-common.ts';

/** An optimizer's arrays for a safetensors file, each in its own type and used when it is written. */
export function optimizerTensors({ tensors }: OptimizerState): TensorToWrite[] {
  return [...tensors].map(([name, tensor]): TensorToWrite => {
    const { dtype, shape } = tensor;
    // A device's arrays are read when they are used: one at a time.
    if (dtype === 'F32') return { name, dtype, shape, data: () => tensor.data };
    if (dtype === 'U8') return { name, dtype, shape, data: () => tensor.data };
    return { name, dtype, shape, data: tensor.data };
  });
}

/**
 * Reads saved tensors, or the ranges of them that an optimizer has, directly into an optimizer's own arrays, so that none is
 * in memory twice; those of an optimizer on a device into copies, which `restore` writes there.
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
  const read = new Map<string, StateTensor>();
  for (const [name, tensor] of own.tensors) {
    const { start = 0 } = tensor;
    const copy = { ...tensor };
    const { data } = copy;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    await file.readBytesInto(name, bytes, start * data.BYTES_PER_ELEMENT);
    read.set(name, copy);
  }
  return read;
}
