import type { WrittenRows } from '../../nn/attention.ts';
import type { DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { HostTensor } from '../../runtime/executable.ts';

type Fed = HostTensor | DeviceTensor;

/** The numbers of all rows of caches, on the device, by their capacity. */
export class RowNumbers {
  readonly #known = new Map<number, DeviceTensor>();
  readonly #memory: DeviceMemory;

  constructor(memory: DeviceMemory) {
    this.#memory = memory;
  }

  /** int32 `[capacity]` */
  upTo(capacity: number): DeviceTensor {
    let rows = this.#known.get(capacity);
    if (!rows) {
      rows = this.#memory.allocate('int32', [capacity]);
      this.#memory.write(
        rows,
        Int32Array.from({ length: capacity }, (_, row) => row),
      );
      this.#known.set(capacity, rows);
    }
    return rows;
  }
}

/**
 * The inputs of a graph that writes the rows of new tokens itself, `time` of each sequence.
 *
 * @param caches the other inputs for the caches: their tensors and lengths.
 */
export function writtenFeeds(
  written: readonly WrittenRows[],
  caches: Readonly<Record<string, Fed>>,
  time: number,
  numbers: RowNumbers,
): Record<string, Fed> {
  const feeds: Record<string, Fed> = {};
  for (const { kind, layer, kvHeads } of written) {
    const lengths = (caches[`past_length.${kind}`] as HostTensor).data as Int32Array;
    const rows = Int32Array.from({ length: lengths.length * time }, (_, i) => {
      return lengths[Math.floor(i / time)]! + (i % time);
    });
    const places = new BigInt64Array(rows.length * kvHeads * 3);
    rows.forEach((row, i) => {
      const sequence = Math.floor(i / time);
      for (let head = 0; head < kvHeads; head++) {
        const at = 3 * ((sequence * kvHeads + head) * time + (i % time));
        places[at] = BigInt(sequence);
        places[at + 1] = BigInt(head);
        places[at + 2] = BigInt(row);
      }
    });
    feeds[`places.${kind}.${kvHeads}`] = { data: places, shape: [lengths.length, kvHeads, time, 3] };
    feeds[`query_rows.${kind}`] = { data: rows, shape: [lengths.length, time] };
    feeds[`key_rows.${kind}`] = numbers.upTo(caches[`cache.${layer}.key`]!.shape[2]!);
  }
  return feeds;
}
