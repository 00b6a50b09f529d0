import { sizeOf } from '../../graph/dims.ts';
import type { HostMemory } from '../../runtime/host-memory.ts';
import type { OptimizedParameter } from './optimizer-common.ts';

/** The arrays of one trained parameter, without the optimizer's state. */
export type Trainable = Omit<OptimizedParameter, 'offset'>;

/** The largest number of elements for which a weight and its gradient share a memory, which is at most 4 GiB. */
const TOGETHER = 2 ** 29 - 2 ** 15;

/**
 * Zeroed values and gradients, packed into as few memories as possible: 8 bytes per weight. A parameter's two arrays
 * share a memory, with room for an optimizer's state of 8 bytes per weight, which kernels need there for full speed;
 * both as far as 4 GiB allow. Unused room costs only address space.
 */
export function allocateTrainable(
  memory: HostMemory,
  parameters: readonly { readonly name: string; readonly shape: readonly number[] }[],
): Trainable[] {
  const sizes = parameters.map(({ shape }) => sizeOf(shape));
  // A little spare room, because an optimizer's arrays are aligned to 64 bytes.
  const together = sizes.filter((size) => size <= TOGETHER);
  const groups = memory
    .allocGroups(
      together.map((size) => [size, size]),
      together.map((size) => 8 * size + 256),
    )
    .values();
  return parameters.map(({ name, shape }, i) => {
    const size = sizes[i]!;
    const pair =
      size <= TOGETHER ? groups.next().value! : [memory.allocFloat32(size), memory.allocFloat32(size)];
    const [value, gradient] = pair as [Float32Array, Float32Array];
    return { name, shape, value, gradient };
  });
}
