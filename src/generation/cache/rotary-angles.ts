import type { RotaryEmbedding } from '../../nn/positions.ts';
import type { HostTensor } from '../../runtime/executable.ts';

/** cos and sin of a rotary embedding for all positions from 0, computed as needed. */
export class RotaryAngles {
  #cos: Float32Array = new Float32Array(0);
  #sin: Float32Array = new Float32Array(0);
  #count = 0;

  readonly #rope: RotaryEmbedding;
  readonly #limit: number;

  /** @param limit the largest number of positions. */
  constructor(rope: RotaryEmbedding, limit: number) {
    this.#rope = rope;
    this.#limit = limit;
  }

  /** Graph inputs `<name>.cos` and `<name>.sin` `[positions, head_dim / 2]` for at least `needed` positions. */
  feeds(name: string, needed: number): Record<string, HostTensor> {
    if (needed > this.#count) {
      this.#count = Math.min(Math.max(needed, 2 * this.#count, 256), Math.max(needed, this.#limit));
      const { cos, sin } = this.#rope.table(Int32Array.from({ length: this.#count }, (_, i) => i));
      [this.#cos, this.#sin] = [cos as Float32Array, sin as Float32Array];
    }
    const shape = [this.#count, this.#rope.headDim / 2];
    return { [`${name}.cos`]: { data: this.#cos, shape }, [`${name}.sin`]: { data: this.#sin, shape } };
  }
}
