import { RopewalkError } from '../../errors.ts';
import { cacheKind, type LayerCache } from '../../nn/attention.ts';
import type { HostTensor } from '../../runtime/executable.ts';
import { type KeysAndValues, KeyValueCache } from './key-value-cache.ts';
import { LayerRows } from './layer-rows.ts';

/**
 * What a model remembers of several sequences of different lengths, in one piece of memory for each layer, so that one
 * run continues all of them. The running sequences are 0 … count − 1: when one leaves, the last takes its place.
 */
export class BatchCache {
  readonly #rows: readonly KeysAndValues[];
  readonly #tokens: number[] = [];

  readonly #layers: readonly LayerCache[];

  /** @param sequences how many there is room for. */
  constructor(
    layers: readonly LayerCache[],
    readonly sequences: number,
  ) {
    this.#layers = layers;
    if (!Number.isInteger(sequences) || sequences < 1) {
      throw new RopewalkError(
        `the number of sequences in a batch must be a whole number of at least 1, but is ${sequences}.`,
      );
    }
    this.#rows = layers.map((layer) => ({
      key: new LayerRows(layer, sequences),
      value: new LayerRows(layer, sequences),
    }));
  }

  /** Sequences that run. */
  get count(): number {
    return this.#tokens.length;
  }

  /** Tokens seen so far, of each sequence. */
  get positions(): readonly number[] {
    return this.#tokens;
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    return this.#rows.reduce((sum, { key, value }) => sum + key.bytes + value.bytes, 0);
  }

  /**
   * A sequence comes in, with a copy of what its prompt left.
   *
   * @returns its index.
   * @throws RopewalkError when there is no room.
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

  /** What one sequence has, in memory of its own. */
  copy(index: number): KeyValueCache {
    return KeyValueCache.of(this.#layers, this.#rows, index, this.#tokens[index]!);
  }

  /** A sequence goes; the last one has its index now. */
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
  }

  /** Graph inputs by name, for a run of one new token of each sequence; makes room for them. */
  feeds(): Record<string, HostTensor> {
    const { count } = this;
    const feeds: Record<string, HostTensor> = {};
    this.#rows.forEach(({ key, value }, i) => {
      key.reserve(1, count);
      value.reserve(1, count);
      feeds[`cache.${i}.key`] = key.view(count);
      feeds[`cache.${i}.value`] = value.view(count);
      const kind = cacheKind(this.#layers[i]!.window);
      if (feeds[`past_length.${kind}`]) return;
      const lengths = Int32Array.from({ length: count }, (_, sequence) => key.length(sequence));
      // One new token each: the last key is the one behind what is there.
      feeds[`past_length.${kind}`] = { data: lengths, shape: [count] };
      feeds[`last_key.${kind}`] = { data: lengths, shape: [count] };
      feeds[`total_length.${kind}`] = { data: Int32Array.of(Math.max(...lengths) + 1), shape: [] };
    });
    return feeds;
  }

  /** Counts the token of each sequence that the engine has written where {@link feeds} made room. */
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
