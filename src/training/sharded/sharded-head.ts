import type { Codec, Communicator, Pending, Sliced } from '../../ranks/communicator.ts';
import type { HostMemory } from '../../runtime/host-memory.ts';
import type { HeadChunk, HeadChunkGradients, HeadChunks } from '../blocks/block-head-chunks.ts';

/** One of the head's weights: this rank's rows, and their gradient if it is trained. */
export interface HeadWeight {
  readonly own: Float32Array;
  readonly gradient?: Float32Array | undefined;
  /** Numbers per entry of the vocabulary. */
  readonly width: number;
}

interface Slot {
  readonly weight: Float32Array;
  readonly bias: Float32Array | undefined;
  readonly dWeight: Float32Array | undefined;
  readonly dBias: Float32Array | undefined;
  chunk?: number | undefined;
  pending?: Pending | undefined;
  scattering?: Pending | undefined;
}

/**
 * A head of which every rank has some entries. Each chunk has as many of every rank: all send at the same time, and only
 * two chunks are in memory.
 */
export class ShardedHeadChunks implements HeadChunks {
  readonly sizes: readonly number[];
  readonly #communicator: Communicator;
  readonly #codec: Codec | undefined;
  readonly #weight: HeadWeight;
  readonly #bias: HeadWeight | undefined;
  /** The entries of rank r begin at `starts[r]`. */
  readonly #starts: readonly number[];
  /** Entries of one rank in a chunk. */
  readonly #each: number;
  readonly #slots: readonly [Slot, Slot];

  /**
   * @param starts where each rank's entries begin, and their number.
   * @param chunk entries of a chunk.
   */
  constructor(
    communicator: Communicator,
    weight: HeadWeight,
    bias: HeadWeight | undefined,
    starts: readonly number[],
    chunk: number,
    codec: Codec | undefined,
    memory: HostMemory,
  ) {
    this.#communicator = communicator;
    this.#codec = codec;
    this.#weight = weight;
    this.#bias = bias;
    this.#starts = starts;
    const { each, sizes } = headChunks(starts, chunk);
    this.#each = each;
    this.sizes = sizes;
    const most = Math.max(...sizes);
    const slot = (): Slot => ({
      weight: memory.allocFloat32(most * weight.width),
      bias: bias && memory.allocFloat32(most),
      dWeight: weight.gradient && memory.allocFloat32(most * weight.width),
      dBias: bias?.gradient && memory.allocFloat32(most),
    });
    this.#slots = [slot(), slot()];
  }

  place(chunk: number, id: number): number | undefined {
    let rank = 0;
    while (this.#starts[rank + 1]! <= id) rank++;
    const index = id - this.#starts[rank]! - chunk * this.#each;
    if (index < 0 || index >= this.#each) return undefined;
    return entriesBefore(this.#starts, this.#each, chunk, rank) + index;
  }

  async open(chunk: number): Promise<HeadChunk> {
    const slot = this.#slots[chunk % 2]!;
    this.#prefetch(chunk);
    await slot.pending?.wait();
    slot.pending = undefined;
    for (const { whole, own, bounds } of this.#parts(chunk, slot, 'weights'))
      whole.set(own, bounds[this.#communicator.rank]);
    if (chunk + 1 < this.sizes.length) this.#prefetch(chunk + 1);
    await slot.scattering?.wait();
    slot.scattering = undefined;
    const size = this.sizes[chunk]!;
    return {
      weight: slot.weight.subarray(0, size * this.#weight.width),
      ...(slot.bias && { bias: slot.bias.subarray(0, size) }),
    };
  }

  gradients(chunk: number): HeadChunkGradients {
    const { dWeight, dBias } = this.#slots[chunk % 2]!;
    const size = this.sizes[chunk]!;
    return {
      ...(dWeight && { dWeight: dWeight.subarray(0, size * this.#weight.width) }),
      ...(dBias && { dBias: dBias.subarray(0, size) }),
    };
  }

  async written(chunk: number): Promise<void> {
    const slot = this.#slots[chunk % 2]!;
    const parts = this.#parts(chunk, slot, 'gradients');
    if (parts.length > 0) slot.scattering = this.#communicator.reduceScatter(parts, this.#codec);
  }

  /** Waits until all gradients are this rank's sums. */
  async settle(): Promise<void> {
    for (const slot of this.#slots) {
      await slot.scattering?.wait();
      slot.scattering = undefined;
    }
  }

  /** After an update, all weights have to be gathered again. */
  forget(): void {
    for (const slot of this.#slots) slot.chunk = undefined;
  }

  #prefetch(chunk: number): void {
    const slot = this.#slots[chunk % 2]!;
    if (slot.chunk === chunk) return;
    slot.chunk = chunk;
    slot.pending = this.#communicator.allGather(this.#parts(chunk, slot, 'weights'));
  }

  /** A chunk in a slot, as slices of the ranks. */
  #parts(chunk: number, slot: Slot, which: 'weights' | 'gradients'): Sliced[] {
    const { rank, size } = this.#communicator;
    const places = Array.from({ length: size + 1 }, (_, r) =>
      entriesBefore(this.#starts, this.#each, chunk, r),
    );
    const part = (
      whole: Float32Array | undefined,
      own: Float32Array | undefined,
      width: number,
    ): Sliced[] => {
      if (!whole || !own) return [];
      const bounds = places.map((place) => place * width);
      const start = Math.min(own.length, chunk * this.#each * width);
      return [{ whole, own: own.subarray(start, start + bounds[rank + 1]! - bounds[rank]!), bounds }];
    };
    const [weight, bias] = [this.#weight, this.#bias];
    return which === 'weights'
      ? [...part(slot.weight, weight.own, weight.width), ...part(slot.bias, bias?.own, 1)]
      : [...part(slot.dWeight, weight.gradient, weight.width), ...part(slot.dBias, bias?.gradient, 1)];
  }
}

/** Entries of the ranks before one in a chunk. */
function entriesBefore(starts: readonly number[], each: number, chunk: number, rank: number): number {
  let sum = 0;
  for (let r = 0; r < rank; r++)
    sum += Math.max(0, Math.min(each, starts[r + 1]! - starts[r]! - chunk * each));
  return sum;
}

/** Entries of one rank in a chunk, and of all ranks in each of the chunks. @param chunk entries of a chunk, about. */
function headChunks(starts: readonly number[], chunk: number) {
  const ranks = starts.length - 1;
  const each = Math.max(1, Math.ceil(chunk / ranks));
  const most = Math.max(...starts.slice(1).map((end, rank) => end - starts[rank]!));
  const sizes = Array.from({ length: Math.ceil(most / each) }, (_, i) =>
    entriesBefore(starts, each, i, ranks),
  );
  return { each, sizes };
}
