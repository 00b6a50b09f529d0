import { RopewalkError } from '../errors.ts';
import { attachKernels } from './kernel-module.ts';

/** Every view starts at a multiple of this many bytes: one cache line, and what ONNX Runtime aligns to. */
const alignment = 64;
const pageBytes = 65536;
/** One page less than 4 GiB: the end of the memory stays a 32-bit number in the kernels. */
const largestSlab = 65535 * pageBytes;
/** Small requests share slabs of this size; a larger one gets a slab of exactly its own. */
const sharedSlab = 64 * 2 ** 20;

interface Slab {
  readonly buffer: ArrayBuffer;
  /** Bytes handed out from the start. */
  used: number;
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20).toLocaleString('en')} MiB`;
}

/**
 * Hands out zeroed typed arrays that lie on WebAssembly memories: ONNX Runtime reads and writes them without a copy,
 * and {@link file://./kernels.ts kernels} run on them with SIMD. There is no free: drop the HostMemory and all views
 * together.
 *
 * Each memory has its final size from the start, because growing one would detach the views on it. The operating
 * system gives real pages on first touch, so an unused rest costs nothing but address space.
 */
export class HostMemory {
  private readonly slabs: Slab[] = [];
  /** The slab that small requests are cut from. */
  private shared: Slab | undefined;

  /** Bytes of all memories, used or not. */
  get reservedBytes(): number {
    return this.slabs.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  }

  /** Bytes handed out, padding included. */
  get usedBytes(): number {
    return this.slabs.reduce((sum, { used }) => sum + used, 0);
  }

  /** @returns n zeros, 64-byte aligned. @throws RopewalkError when the memory cannot be had. */
  allocFloat32(n: number): Float32Array {
    return this.allocGroup([n])[0]!;
  }

  /** @returns n zeros, 64-byte aligned. @throws RopewalkError when the memory cannot be had. */
  allocInt32(n: number): Int32Array {
    const view = this.allocFloat32(n);
    return new Int32Array(view.buffer, view.byteOffset, n);
  }

  /** Arrays of these lengths on one memory, so that one kernel call can use them together: at most 4 GiB. */
  allocGroup(lengths: readonly number[]): Float32Array[] {
    return this.allocGroups([lengths])[0]!;
  }

  /**
   * Several groups at once, packed into as few memories as hold them. The members of one group are on one memory.
   *
   * @throws RopewalkError when a length is not a whole number, a group exceeds 4 GiB, or memory cannot be had.
   */
  allocGroups(groups: readonly (readonly number[])[]): Float32Array[][] {
    const sizes = groups.map(groupBytes);
    const places: Slab[] = [];
    for (let start = 0; start < groups.length; ) {
      let end = start;
      let bytes = 0;
      while (end < groups.length && bytes + sizes[end]! <= largestSlab) bytes += sizes[end++]!;
      places.push(...new Array<Slab>(end - start).fill(this.slabFor(bytes)));
      start = end;
    }
    return groups.map((lengths, g) => lengths.map((n) => cut(places[g]!, n)));
  }

  private slabFor(bytes: number): Slab {
    if (bytes >= sharedSlab) return this.newSlab(bytes);
    if (!this.shared || this.shared.used + bytes > this.shared.buffer.byteLength) {
      this.shared = this.newSlab(sharedSlab);
    }
    return this.shared;
  }

  private newSlab(bytes: number): Slab {
    const pages = Math.ceil(bytes / pageBytes);
    let memory: WebAssembly.Memory;
    try {
      memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    } catch (error) {
      throw new RopewalkError(
        `${mebibytes(bytes)} of memory were refused after ${mebibytes(this.reservedBytes)} ` +
          `(${(error as Error).message}). Close other programs, or choose a smaller model or batch.`,
      );
    }
    attachKernels(memory);
    // Unshared memory always has a plain ArrayBuffer.
    const slab: Slab = { buffer: memory.buffer as ArrayBuffer, used: 0 };
    this.slabs.push(slab);
    return slab;
  }
}

function groupBytes(lengths: readonly number[]): number {
  const bytes = lengths.reduce((sum, n) => {
    if (!Number.isSafeInteger(n) || n < 0) {
      throw new RopewalkError(`an array cannot have ${n} elements; give a whole number, 0 or more.`);
    }
    return sum + aligned(4 * n);
  }, 0);
  if (bytes > largestSlab) {
    throw new RopewalkError(
      `arrays that are used together need ${mebibytes(bytes)}, but one WebAssembly memory holds ` +
        `${mebibytes(largestSlab)}; split the tensor or choose a smaller model.`,
    );
  }
  return bytes;
}

function cut(slab: Slab, n: number): Float32Array {
  const view = new Float32Array(slab.buffer, slab.used, n);
  slab.used += aligned(4 * n);
  return view;
}
