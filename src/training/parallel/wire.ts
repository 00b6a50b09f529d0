import { bfloat16ToFloat32, float32ToBfloat16 } from '../../checkpoint/dtypes.ts';
import type { Codec } from '../../ranks/communicator.ts';
import type { Wire } from './shard.ts';

/** How gradients are written on their way between ranks; undefined as they are. */
export function codecOf(wire: Wire): Codec | undefined {
  return wire === 'float32' ? undefined : { encode: float32ToBfloat16, decode: bfloat16ToFloat32 };
}
