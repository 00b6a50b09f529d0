import type { RotaryEmbedding } from '../../nn/positions.ts';
import type { DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { HostTensor } from '../../runtime/executable.ts';

/** cos and sin of a rotary embedding for all positions from 0, computed as needed. */
export class RotaryAngles {
  #cos: Float32Array = new Float32Array(0);
  #sin: Float32Array = new Float32Array(0);
  #count = 0;

  readonly #rope: RotaryEmbedding;
  readonly #limit: number;

  readonly #memory: DeviceMemory | undefined;
  #onDevice: Record<string, DeviceTensor> = {};

  /**
   * @param limit the largest number of positions.
   * @param memory of the device where they are kept, if any.
   */
  constructor(rope: RotaryEmbedding, limit: number, memory?: DeviceMemory) {
    this.#rope = rope;
    this.#limit = limit;
    this.#memory = memory;
  }

  /** Graph inputs `<name>.cos` and `<name>.sin` `[positions, head_dim / 2]` for at least `needed` positions. */
  feeds(name: string, needed: number): Record<string, HostTensor | DeviceTensor> {
    const isNew = needed > this.#count;
    if (isNew) {
      this.#count = Math.min(Math.max(needed, 2 * this.#count, 256), Math.max(needed, this.#limit));
      const { cos, sin } = this.#rope.table(Int32Array.from({ length: this.#count }, (_, i) => i));
      [this.#cos, this.#sin] = [cos as Float32Array, sin as Float32Array];
    }
    const shape = [this.#count, this.#rope.headDim / 2];
    const arrays = { [`${name}.cos`]: this.#cos, [`${name}.sin`]: this.#sin };
    const each = <T>(of: (data: Float32Array) => T) =>
      Object.fromEntries(Object.entries(arrays).map(([key, data]) => [key, of(data)]));
    const memory = this.#memory;
    if (!memory) return each((data) => ({ data, shape }));
    if (isNew) {
      for (const tensor of Object.values(this.#onDevice)) memory.free(tensor);
      this.#onDevice = each((data) => {
        const tensor = memory.allocate('float32', shape);
        memory.write(tensor, data);
        return tensor;
      });
    }
    return this.#onDevice;
  }
}
