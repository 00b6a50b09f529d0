import { RopewalkError } from '../../errors.ts';
import type { LayerCache } from '../../nn/attention.ts';
import { cacheKind } from '../../nn/attention.ts';
import type { DeviceTensor } from '../../runtime/device.ts';
import type { HostTensor } from '../../runtime/executable.ts';
import { HostRows } from './host-rows.ts';
import type { LayerRows } from './layer-rows.ts';

/** Makes the keys or values of a layer, for a number of sequences; undefined for a single one. */
export type NewRows = (layer: LayerCache, sequences?: number) => LayerRows;

/** Rows in the memory of the process. */
export const hostRows: NewRows = (layer, sequences) => new HostRows(layer, sequences);

export interface KeysAndValues {
  readonly key: LayerRows;
  readonly value: LayerRows;
}

/** The keys and values of one sequence: all in global layers, the last window − 1 in local ones. */
export class KeyValueCache {
  #rows: readonly KeysAndValues[];
  #tokens = 0;

  readonly #layers: readonly LayerCache[];
  readonly #newRows: NewRows;

  constructor(layers: readonly LayerCache[], newRows: NewRows = hostRows) {
    this.#layers = layers;
    this.#newRows = newRows;
    this.#rows = this.#emptyRows();
  }

  /** A cache with a copy of the rows of one of several sequences. */
  static of(
    layers: readonly LayerCache[],
    newRows: NewRows,
    rows: readonly KeysAndValues[],
    from: number,
    tokens: number,
  ): KeyValueCache {
    const copy = new KeyValueCache(layers, newRows);
    copy.#rows.forEach(({ key, value }, i) => {
      key.copyFrom(rows[i]!.key, { from });
      value.copyFrom(rows[i]!.value, { from });
    });
    copy.#tokens = tokens;
    return copy;
  }

  /** Tokens processed so far: the position of the next one. */
  get position(): number {
    return this.#tokens;
  }

  /** Whether some layers drop what is outside their window. */
  get rolls(): boolean {
    return this.#layers.some(({ window }) => window !== null);
  }

  /** Memory in use, in bytes. */
  get bytes(): number {
    return this.#rows.reduce((sum, { key, value }) => sum + key.bytes + value.bytes, 0);
  }

  /** Bytes of the stored keys and values, without spare room. */
  get heldBytes(): number {
    return this.#layers.reduce((sum, { kvHeads, headDim, window }, i) => {
      const held = Math.min(
        this.#rows[i]!.key.length(),
        window === null ? Number.POSITIVE_INFINITY : window - 1,
      );
      return sum + 8 * kvHeads * headDim * held;
    }, 0);
  }

  /** Graph inputs by name, for a run of `time` new tokens; makes room for them. */
  feeds(time: number): Record<string, HostTensor | DeviceTensor> {
    const feeds: Record<string, HostTensor | DeviceTensor> = {};
    this.#rows.forEach(({ key, value }, i) => {
      key.reserve(time);
      value.reserve(time);
      feeds[`cache.${i}.key`] = key.view();
      feeds[`cache.${i}.value`] = value.view();
      const kind = cacheKind(this.#layers[i]!.window);
      feeds[`past_length.${kind}`] ??= { data: Int32Array.of(key.length()), shape: [1] };
      feeds[`last_key.${kind}`] ??= { data: Int32Array.of(key.length() + time - 1), shape: [1] };
      feeds[`total_length.${kind}`] ??= { data: Int32Array.of(key.length() + time), shape: [] };
    });
    return feeds;
  }

  /** Appends what a run returned: `[2 · layers, time, kv · d]`. */
  append(newRows: Float32Array, time: number): void {
    let at = 0;
    this.#rows.forEach(({ key, value }, i) => {
      const { kvHeads, headDim } = this.#layers[i]!;
      const size = time * kvHeads * headDim;
      key.append(newRows.subarray(at, at + size), time);
      value.append(newRows.subarray(at + size, at + 2 * size), time);
      at += 2 * size;
    });
    this.#tokens += time;
  }

  /** Counts tokens whose rows the engine wrote to the room made by {@link feeds}. */
  advance(time: number): void {
    for (const { key, value } of this.#rows) {
      key.advance(time);
      value.advance(time);
    }
    this.#tokens += time;
  }

  /** Whether {@link truncate} to this position is possible. */
  canTruncate(position: number): boolean {
    const count = this.#tokens - position;
    return position === 0 || (count >= 0 && this.#rows.every(({ key }) => key.canForget(count)));
  }

  /**
   * Drops every token from `position` on. A rolling cache can only be rewound by as many tokens as it keeps before
   * its window (or completely).
   */
  truncate(position: number): void {
    if (position > this.#tokens || position < 0) {
      throw new RopewalkError(`the cache holds ${this.#tokens} tokens and cannot be cut at ${position}.`);
    }
    if (position === 0) {
      this.release();
    } else if (!this.canTruncate(position)) {
      throw new RopewalkError(
        'a rolling cache has dropped the older keys and cannot be rewound; start a new one.',
      );
    } else {
      for (const { key, value } of this.#rows) {
        key.forget(this.#tokens - position);
        value.forget(this.#tokens - position);
      }
    }
    this.#tokens = position;
  }

  /**
   * A copy with its own memory of the tokens before `position`, by default all.
   *
   * @throws RopewalkError if {@link canTruncate} is false.
   */
  clone(position = this.#tokens): KeyValueCache {
    if (position < 0 || !this.canTruncate(position)) {
      throw new RopewalkError(`the cache of ${this.#tokens} tokens cannot be copied up to ${position}.`);
    }
    const copy = new KeyValueCache(this.#layers, this.#newRows);
    if (position === 0) return copy;
    const without = this.#tokens - position;
    copy.#rows.forEach(({ key, value }, i) => {
      key.copyFrom(this.#rows[i]!.key, { without });
      value.copyFrom(this.#rows[i]!.value, { without });
    });
    copy.#tokens = position;
    return copy;
  }

  /** Empties the cache. Its memory on a device is free at once, rather than some time after its last use. */
  release(): void {
    for (const { key, value } of this.#rows) {
      key.release();
      value.release();
    }
    this.#rows = this.#emptyRows();
    this.#tokens = 0;
  }

  #emptyRows(): KeysAndValues[] {
    const rows = (layer: LayerCache) => this.#newRows(layer);
    return this.#layers.map((layer) => ({ key: rows(layer), value: rows(layer) }));
  }

  /** The rows of each layer, for a batch that takes them over. */
  get layerRows(): readonly KeysAndValues[] {
    return this.#rows;
  }
}
