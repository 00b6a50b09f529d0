import { RopewalkError } from '../../errors.ts';
import { cacheKind, type LayerCache } from '../../nn/attention.ts';
import type { DeviceTensor } from '../../runtime/device.ts';
import type { HostTensor } from '../../runtime/executable.ts';
import { hostRows, type KeysAndValues, KeyValueCache, type NewRows } from './key-value-cache.ts';

/**
 * The keys and values of several sequences of different lengths, in one block of memory per layer, so that one run
 * continues all of them. The running sequences are 0 … count − 1: when one leaves, the last takes its place.
 */
export class BatchCache {
  readonly #rows: readonly KeysAndValues[];
  readonly #tokens: number[] = [];

  readonly #layers: readonly LayerCache[];
  readonly #newRows: NewRows;

  /** @param sequences the capacity. */
  constructor(
    layers: readonly LayerCache[],
    readonly sequences: number,
    newRows: NewRows = hostRows,
  ) {
    this.#layers = layers;
    this.#newRows = newRows;
    if (!Number.isInteger(sequences) || sequences < 1) {
      throw new RopewalkError(
        `the number of sequences in a batch must be a whole number of at least 1, but is ${sequences}.`,
      );
    }
    this.#rows = layers.map((layer) => ({
      key: newRows(layer, sequences),
      value: newRows(layer, sequences),
    }));
  }

  /** The number of running sequences. */
  get count(): number {
    return this.#tokens.length;
  }

  /** Tokens processed so far, per sequence. */
  get positions(): readonly number[] {
    return this.#tokens;
  }

  /** Memory in use, in bytes. */
  get bytes(): number {
    return this.#rows.reduce((sum, { key, value }) => sum + key.bytes + value.bytes, 0);
  }

  /**
   * Adds a sequence, with a copy of the cache of its prompt.
   *
   * @returns its index.
   * @throws RopewalkError if there is no room.
   */
  join(cache: KeyValueCache): number {
    const to = this.count;
    if (to === this.sequences) throw new RopewalkError(`the batch has room for ${to} sequences only.`);
    this.#rows.forEach(({ key, value }, i) => {
      key.copyFrom(cache.layerRows[i]!.key, { to });
      value.copyFrom(cache.layerRows[i]!.value, { to });
    });
    this.#tokens.push(cache.position);
    return to;
  }

  /** The cache of one sequence, in separate memory. */
  copy(index: number): KeyValueCache {
    return KeyValueCache.of(this.#layers, this.#newRows, this.#rows, index, this.#tokens[index]!);
  }

  /** Removes a sequence; the last one then has its index. */
  leave(index: number): void {
    const from = this.count - 1;
    if (!Number.isInteger(index) || index < 0 || index > from) {
      throw new RopewalkError(`the batch has ${this.count} sequences; there is none with index ${index}.`);
    }
    if (index < from) {
      for (const { key, value } of this.#rows) {
        key.copyFrom(key, { to: index, from });
        value.copyFrom(value, { to: index, from });
      }
      this.#tokens[index] = this.#tokens[from]!;
    }
    this.#tokens.pop();
    if (this.count > 0) return;
    for (const { key, value } of this.#rows) {
      key.release();
      value.release();
    }
  }

  /** Graph inputs by name, for a run of one new token per sequence; makes room for them. */
  feeds(): Record<string, HostTensor | DeviceTensor> {
    const { count } = this;
    const feeds: Record<string, HostTensor | DeviceTensor> = {};
    this.#rows.forEach(({ key, value }, i) => {
      key.reserve(1, count);
      value.reserve(1, count);
      feeds[`cache.${i}.key`] = key.view(count);
      feeds[`cache.${i}.value`] = value.view(count);
      const kind = cacheKind(this.#layers[i]!.window);
      if (feeds[`past_length.${kind}`]) return;
      const lengths = Int32Array.from({ length: count }, (_, sequence) => key.length(sequence));
      // One new token each: the last key follows the existing ones.
      feeds[`past_length.${kind}`] = { data: lengths, shape: [count] };
      feeds[`last_key.${kind}`] = { data: lengths, shape: [count] };
      feeds[`total_length.${kind}`] = { data: Int32Array.of(Math.max(...lengths) + 1), shape: [] };
    });
    return feeds;
  }

  /** Counts the token of each sequence that the engine wrote to the room made by {@link feeds}. */
  advance(): void {
    for (let sequence = 0; sequence < this.count; sequence++) {
      for (const { key, value } of this.#rows) {
        key.advance(1, sequence);
        value.advance(1, sequence);
      }
      this.#tokens[sequence]!++;
    }
  }
}
