import { RopewalkError } from '../errors.ts';
import { attachKernels } from '../kernels/kernel-module.ts';
import { type KernelThreads, STAGE_BYTES } from '../kernels/threads/shared-call.ts';

/** Alignment of every view in bytes: one cache line, and what ONNX Runtime aligns to. */
const alignment = 64;
const pageBytes = 65536;
/** One page less than 4 GiB, so that the end of the memory is a 32-bit number in the kernels. */
const largestSlab = 65535 * pageBytes;
/** Small requests share slabs of this size; a larger one gets a slab of exactly its size. */
const sharedSlab = 64 * 2 ** 20;

interface Slab {
  readonly buffer: ArrayBufferLike;
  /** Bytes that can be allocated. */
  readonly size: number;
  /** Bytes allocated so far. */
  used: number;
}

/** Slabs by their buffer: a view finds its slab through `view.buffer`. */
const slabOf = new WeakMap<ArrayBufferLike, Slab>();

function aligned(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20).toLocaleString('en')} MiB`;
}

/**
 * Allocates zeroed typed arrays on WebAssembly memories: ONNX Runtime reads and writes them without a copy, and
 * `kernels` run on them with SIMD. There is no free: drop the HostMemory and all its views together.
 *
 * Each memory has its final size from the start, because growing one would detach the views on it. The operating
 * system allocates pages on first touch, so unused memory costs only address space.
 */
export class HostMemory {
  readonly #slabs: Slab[] = [];
  /** The slab for small requests. */
  #shared: Slab | undefined;
  readonly #threads: KernelThreads | undefined;

  /** @param threads that run the kernels on its arrays, which are then on shared memory; by default the caller's alone. */
  constructor(threads?: KernelThreads) {
    this.#threads = threads;
  }

  /** Bytes of all memories, used or not. */
  get reservedBytes(): number {
    return this.#slabs.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  }

  /** Bytes allocated, including padding. */
  get usedBytes(): number {
    return this.#slabs.reduce((sum, { used }) => sum + used, 0);
  }

  /** @returns n zeros, 64-byte aligned. @throws RopewalkError when the memory cannot be allocated. */
  allocFloat32(n: number): Float32Array {
    return this.allocGroup([n])[0]!;
  }

  /** @returns n zeros, 64-byte aligned. @throws RopewalkError when the memory cannot be allocated. */
  allocInt32(n: number): Int32Array {
    const view = this.allocFloat32(n);
    return new Int32Array(view.buffer, view.byteOffset, n);
  }

  /** Arrays of these lengths on one memory, so that one kernel call can use them together: at most 4 GiB. */
  allocGroup(lengths: readonly number[]): Float32Array[] {
    return this.allocGroups([lengths])[0]!;
  }

  /**
   * Several groups at once, packed into as few memories as possible. The members of a group are on one memory.
   *
   * @param room bytes to keep free on each group's memory for `allocBeside`; costs address space until used. A group
   *   that would exceed 4 GiB with its room gets none.
   * @throws RopewalkError when a length is not an integer, a group exceeds 4 GiB, or memory cannot be allocated.
   */
  allocGroups(groups: readonly (readonly number[])[], room?: readonly number[]): Float32Array[][] {
    const sizes = groups.map((lengths, g) => {
      const bytes = groupBytes(lengths);
      const more = aligned(room?.[g] ?? 0);
      return bytes + more <= largestSlab ? bytes + more : bytes;
    });
    const places: Slab[] = [];
    for (let start = 0; start < groups.length; ) {
      let end = start;
      let bytes = 0;
      while (end < groups.length && bytes + sizes[end]! <= largestSlab) bytes += sizes[end++]!;
      // The spare room must not be used for other small requests.
      const slab = room ? this.#newSlab(bytes) : this.#slabFor(bytes);
      places.push(...new Array<Slab>(end - start).fill(slab));
      start = end;
    }
    return groups.map((lengths, g) => lengths.map((n) => cutFloat32(places[g]!, n)));
  }

  /** Zeroed bytes, each array 64-byte aligned, all on one memory. @throws RopewalkError like {@link allocGroups}. */
  allocByteGroup(byteLengths: readonly number[]): Uint8Array[] {
    const slab = this.#slabFor(groupBytes(byteLengths, 1));
    return byteLengths.map((bytes) => cut(slab, bytes));
  }

  #slabFor(bytes: number): Slab {
    if (bytes >= sharedSlab) return this.#newSlab(bytes);
    if (!this.#shared || this.#shared.used + bytes > this.#shared.size) {
      this.#shared = this.#newSlab(sharedSlab);
    }
    return this.#shared;
  }

  #newSlab(bytes: number): Slab {
    const stageBytes = (this.#threads?.count ?? 0) * STAGE_BYTES;
    // A memory that is as large as they get has no room for the threads' stages.
    const threads = aligned(bytes) + stageBytes <= largestSlab ? this.#threads : undefined;
    const size = aligned(bytes);
    const pages = Math.ceil((size + (threads ? stageBytes : 0)) / pageBytes);
    let memory: WebAssembly.Memory;
    try {
      memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: threads !== undefined });
    } catch (error) {
      throw new RopewalkError(
        `${mebibytes(bytes)} of memory could not be allocated after ${mebibytes(this.reservedBytes)} ` +
          `(${(error as Error).message}). Close other programs, or choose a smaller model or batch.`,
      );
    }
    attachKernels(memory, threads && { threads, stages: size });
    const slab: Slab = { buffer: memory.buffer, size, used: 0 };
    this.#slabs.push(slab);
    slabOf.set(slab.buffer, slab);
    return slab;
  }
}

/**
 * Zeroed bytes, each array 64-byte aligned, on the memory of a view, so that one kernel call can use them together;
 * see `room` of {@link HostMemory.allocGroups}.
 *
 * @returns undefined when that memory has too little room, or the view is not from a HostMemory.
 */
export function allocBeside(view: ArrayBufferView, byteLengths: readonly number[]): Uint8Array[] | undefined {
  const slab = slabOf.get(view.buffer);
  if (!slab || slab.used + groupBytes(byteLengths, 1) > slab.size) return undefined;
  return byteLengths.map((bytes) => cut(slab, bytes));
}

function groupBytes(lengths: readonly number[], elementBytes = 4): number {
  const bytes = lengths.reduce((sum, n) => {
    if (!Number.isSafeInteger(n) || n < 0) {
      throw new RopewalkError(`an array cannot have ${n} elements; give a whole number, 0 or more.`);
    }
    return sum + aligned(elementBytes * n);
  }, 0);
  if (bytes > largestSlab) {
    throw new RopewalkError(
      `arrays that are used together need ${mebibytes(bytes)}, but one WebAssembly memory holds ` +
        `${mebibytes(largestSlab)}; split the tensor or choose a smaller model.`,
    );
  }
  return bytes;
}

function cut(slab: Slab, bytes: number): Uint8Array {
  const view = new Uint8Array(slab.buffer, slab.used, bytes);
  slab.used += aligned(bytes);
  return view;
}

function cutFloat32(slab: Slab, n: number): Float32Array {
  const { buffer, byteOffset } = cut(slab, 4 * n);
  return new Float32Array(buffer, byteOffset, n);
}
