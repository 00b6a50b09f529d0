import { sizeOf } from '../../graph/dims.ts';
import type { HostMemory } from '../../runtime/host-memory.ts';
import type { OptimizedParameter } from './optimizer-common.ts';

/** The arrays that training keeps for one parameter, besides what an optimizer keeps for itself. */
export type Trainable = Omit<OptimizedParameter, 'offset'>;

/** Elements of a weight up to which it and its gradient lie on one memory, which is at most 4 GiB. */
const TOGETHER = 2 ** 29 - 2 ** 15;

/**
 * Zeroed values and gradients, packed into as few memories as hold them: 8 bytes a weight. The two of a parameter lie
 * on one memory, and beside them is room for an optimizer's state of 8 bytes a weight, which the kernels need for full
 * speed; both as far as 4 GiB hold them. Room that is not used costs address space only.
 */
export function allocateTrainable(
  memory: HostMemory,
  parameters: readonly { readonly name: string; readonly shape: readonly number[] }[],
): Trainable[] {
  const sizes = parameters.map(({ shape }) => sizeOf(shape));
  // The room has a little to spare, as an optimizer's arrays begin at multiples of 64 bytes.
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
