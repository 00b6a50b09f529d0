import type { Communicator, Pending } from '../../ranks/communicator.ts';
import type { HostMemory } from '../../runtime/host-memory.ts';
import type { Slices } from '../parallel/slices.ts';

/** Elements in a cache line: arrays that share memory are aligned to it. */
const LINE = 16;

/** A weight of a stage. */
export interface StageWeight {
  readonly path: string;
  readonly size: number;
}

/** Bytes of arrays that are aligned one after another. */
export function paddedSize(sizes: Iterable<number>): number {
  let sum = 0;
  for (const size of sizes) sum += Math.ceil(size / LINE) * LINE;
  return sum;
}

/** Cuts arrays of these sizes from one, aligned. */
export function cutPadded(memory: Float32Array, weights: readonly StageWeight[]): Map<string, Float32Array> {
  let start = 0;
  return new Map(
    weights.map(({ path, size }) => {
      const array = memory.subarray(start, start + size);
      start += paddedSize([size]);
      return [path, array];
    }),
  );
}

interface Slot {
  readonly memory: Float32Array;
  stage?: number | undefined;
  pending?: Pending | undefined;
}

/**
 * Weights of which every rank has its slices: those of a stage are gathered shortly before it runs, into memory for two
 * stages. While one runs, the next one's are on their way.
 */
export class GatheredWeights {
  /** The weights of the stage in use, by path. */
  readonly values: Map<string, Float32Array> = new Map();
  readonly #communicator: Communicator;
  readonly #slices: Slices;
  readonly #own: ReadonlyMap<string, Float32Array>;
  readonly #stages: readonly (readonly StageWeight[])[];
  readonly #slots: readonly [Slot, Slot];
  /** The slot of the stage in use. */
  #current = 0;

  /** @param own this rank's slices, by path. */
  constructor(
    communicator: Communicator,
    slices: Slices,
    own: ReadonlyMap<string, Float32Array>,
    stages: readonly (readonly StageWeight[])[],
    memory: HostMemory,
  ) {
    this.#communicator = communicator;
    this.#slices = slices;
    this.#own = own;
    this.#stages = stages;
    const most = Math.max(0, ...stages.map((stage) => paddedSize(stage.map(({ size }) => size))));
    this.#slots = [{ memory: memory.allocFloat32(most) }, { memory: memory.allocFloat32(most) }];
  }

  /** Starts to gather a stage's weights, unless they are there. The stage in use keeps its own. */
  prefetch(stage: number): void {
    const weights = this.#stages[stage];
    if (!weights || this.#slots.some((slot) => slot.stage === stage)) return;
    const slot = this.#slots[1 - this.#current]!;
    const arrays = cutPadded(slot.memory, weights);
    slot.stage = stage;
    slot.pending = this.#communicator.allGather(
      weights.map(({ path }) => ({
        whole: arrays.get(path)!,
        own: this.#own.get(path)!,
        bounds: this.#slices.boundsOf(path),
      })),
    );
  }

  /** Waits for a stage's weights, which replace those of the stage before. */
  async use(stage: number): Promise<void> {
    this.prefetch(stage);
    this.#current = this.#slots.findIndex((slot) => slot.stage === stage);
    const slot = this.#slots[this.#current]!;
    await slot.pending?.wait();
    slot.pending = undefined;
    for (const [path, array] of cutPadded(slot.memory, this.#stages[stage]!)) {
      const { start, end } = this.#slices.rangeOf(path);
      // A rank does not send to itself.
      array.subarray(start, end).set(this.#own.get(path)!);
      this.values.set(path, array);
    }
  }

  /** After an update, all weights have to be gathered again. */
  async forget(): Promise<void> {
    for (const slot of this.#slots) {
      await slot.pending?.wait();
      slot.stage = undefined;
      slot.pending = undefined;
    }
  }
}
