import type { LayerCache } from '../../nn/attention.ts';
import type { DeviceTensor } from '../../runtime/device.ts';
import type { HostTensor } from '../../runtime/executable.ts';

/** Initial capacity in rows; it doubles when full. */
const FIRST_CAPACITY = 128;

/**
 * Rows that a rolling cache keeps before its window, so that it can be rewound: as many as are speculated before one
 * check.
 */
const ROLLBACK = 64;

/** Where a copied sequence comes from and goes to. */
export interface CopyOptions {
  readonly to?: number;
  readonly from?: number;
  /** The number of newest rows to leave out; {@link LayerRows.canForget} says whether that is possible. */
  readonly without?: number;
}

/**
 * Keys or values of one layer, for one or several sequences: `[sequences, kv, capacity, d]`. All sequences share one
 * capacity, and each fills its own rows from the front. Layers with a window roll: a sequence that runs out of room
 * moves the rows it needs to the front. Where the rows are is a subclass's.
 */
export abstract class LayerRows {
  protected capacity = 0;
  /** One past the newest row, per sequence. */
  protected readonly ends: number[];
  /** Whether rows before the first one in memory have been dropped, per sequence. */
  readonly #forgot: boolean[];

  /** @param sequences the capacity; undefined for a single sequence. */
  constructor(
    protected readonly layer: LayerCache,
    protected readonly sequences?: number,
  ) {
    this.ends = new Array<number>(sequences ?? 1).fill(0);
    this.#forgot = new Array<boolean>(sequences ?? 1).fill(false);
  }

  /** Memory in use. */
  abstract get bytes(): number;

  /**
   * The rows of the first `count` sequences as the engine reads them, `[count, kv, capacity, d]`; by default of all.
   * The attention window excludes rows that the next token does not see.
   */
  abstract view(count?: number): HostTensor | DeviceTensor;

  /** Appends rows `[time, kv · d]`, for which there must be room. */
  abstract append(rows: Float32Array, time: number): void;

  /** Frees the memory of a device, which is otherwise freed some time after the last use. */
  protected abstract free(): void;

  /** Memory for `capacity` rows of each of the first `count` sequences at least, with the rows that there are. */
  protected abstract resize(capacity: number, count: number): void;

  /** Moves the newest `count` rows of a sequence to the front. */
  protected abstract moveToFront(sequence: number, count: number): void;

  /** Writes the newest of `other`'s rows, `count` before `end`, as the first rows of sequence `to`. */
  protected abstract copyRows(other: this, from: number, end: number, count: number, to: number): void;

  /** Empties all sequences, and frees the memory that a device has for them. */
  release(): void {
    this.ends.fill(0);
    this.#forgot.fill(false);
    this.free();
  }

  /** The rows of one sequence in {@link view}, before the next token. */
  length(sequence = 0): number {
    return this.ends[sequence]!;
  }

  /** Makes room for `time` more rows in each of the first `count` sequences. */
  reserve(time: number, count = this.ends.length): void {
    const full: number[] = [];
    for (let i = 0; i < count; i++) if (this.ends[i]! + time > this.capacity) full.push(i);
    if (full.length > 0 && this.layer.window === null) {
      this.#grow(Math.max(...full.map((i) => this.ends[i]!)) + time, count);
    } else {
      // A rolling cache has as much spare room as it keeps, so that rows are moved only occasionally.
      const most = this.behind + ROLLBACK;
      for (const i of full) {
        const kept = Math.min(this.ends[i]!, most);
        if (kept < this.ends[i]!) {
          this.moveToFront(i, kept);
          this.ends[i] = kept;
          this.#forgot[i] = true;
        }
        this.#grow(kept + Math.max(time, kept >> 1), count, 2 * most + time);
      }
    }
    this.resize(this.capacity, count);
  }

  /** Counts rows that the engine wrote after the newest. */
  advance(time: number, sequence = 0): void {
    this.ends[sequence]! += time;
  }

  /** Whether the newest `count` rows can be dropped while everything that the next token sees remains. */
  canForget(count: number): boolean {
    const end = this.ends[0]! - count;
    return end >= (this.#forgot[0] ? this.behind : 0);
  }

  /** Forgets the last tokens: as many as `canForget` allows. */
  forget(count: number): void {
    this.ends[0]! -= count;
  }

  /** Makes a sequence a copy of one in `other` (or in this object), which must be of the same layer. */
  copyFrom(other: this, { to = 0, from = 0, without = 0 }: CopyOptions = {}): void {
    const end = other.ends[from]! - without;
    // A rolling cache need not copy more than it would keep.
    const count = Math.min(end, this.behind + ROLLBACK);
    const forgot = other.#forgot[from]! || count < end;
    this.ends[to] = 0;
    this.#grow(count, Math.max(to + 1, this.#used));
    this.copyRows(other, from, end, count, to);
    this.ends[to] = count;
    this.#forgot[to] = forgot;
  }

  /** Rows before a query that a rolling cache must keep. */
  protected get behind(): number {
    return this.layer.window === null ? Number.POSITIVE_INFINITY : this.layer.window - 1;
  }

  /** Sequences up to the last with rows. */
  get #used(): number {
    return this.ends.findLastIndex((end) => end > 0) + 1;
  }

  #grow(needed: number, count: number, limit = Number.POSITIVE_INFINITY): void {
    if (needed <= this.capacity) return;
    let capacity = Math.max(FIRST_CAPACITY, this.capacity);
    while (capacity < needed) capacity *= 2;
    this.resize(Math.max(Math.min(capacity, limit), this.capacity), count);
  }
}
