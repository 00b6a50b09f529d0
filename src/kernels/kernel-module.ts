import { RopewalkError } from '../errors.ts';
import { kernelsBase64 } from './kernels.generated.ts';
import type { KernelThreads, ThreadMemory } from './threads/shared-call.ts';
import type { WasmMemory, WasmModule } from './web-assembly.ts';

/**
 * Types without offsets take no notice of `offsets`. Offsets of 4-bit types are moved to the code `zero`: 8 for the
 * engine, 0 to keep them.
 */
type Unpack = (
  from: number,
  blocks: number,
  data: number,
  scales: number,
  offsets: number,
  zero: number,
) => void;

/** What src/kernels/assembly/kernels.ts exports. Pointers are byte offsets into the instance's memory; n counts elements. */
export interface KernelExports {
  adamw(
    param: number,
    grad: number,
    m: number,
    v: number,
    n: number,
    lr: number,
    beta1: number,
    beta2: number,
    eps: number,
    weightDecay: number,
    biasCorrection1: number,
    biasCorrection2: number,
    gradScale: number,
  ): void;
  adamwBfloat16(
    param: number,
    grad: number,
    m: number,
    v: number,
    n: number,
    lr: number,
    beta1: number,
    beta2: number,
    eps: number,
    weightDecay: number,
    biasCorrection1: number,
    biasCorrection2: number,
    gradScale: number,
    key: number,
    first: number,
  ): void;
  adamwBlocks(
    param: number,
    grad: number,
    m: number,
    mScales: number,
    s: number,
    sScales: number,
    scratch: number,
    n: number,
    lr: number,
    beta1: number,
    beta2: number,
    eps: number,
    weightDecay: number,
    biasCorrection1: number,
    biasCorrection2: number,
    gradScale: number,
    key: number,
    first: number,
  ): void;
  adafactorSums(
    param: number,
    grad: number,
    rowMeans: number,
    columns: number,
    rows: number,
    width: number,
    gradScale: number,
    sum: number,
  ): number;
  adafactorNorm(
    grad: number,
    rowFactors: number,
    columnFactors: number,
    rows: number,
    width: number,
    floor: number,
    gradScale: number,
    sum: number,
  ): number;
  adafactorUpdate(
    param: number,
    grad: number,
    rowFactors: number,
    columnFactors: number,
    rows: number,
    width: number,
    floor: number,
    gradScale: number,
    decay: number,
    rate: number,
  ): void;
  unpackQ4_0: Unpack;
  unpackQ4_1: Unpack;
  unpackQ4_K: Unpack;
  unpackQ5_0: Unpack;
  unpackQ5_1: Unpack;
  unpackQ5_K: Unpack;
  unpackQ6_K: Unpack;
  unpackQ8_0: Unpack;
  widenFloat16(from: number, n: number, to: number): void;
  widenBfloat16(from: number, n: number, to: number): void;
  /** `offsets`: 0 if there are none; `zero`: the code for zero. */
  dequantizeBytes(
    data: number,
    scales: number,
    offsets: number,
    groups: number,
    group: number,
    zero: number,
    to: number,
  ): void;
  dequantizeNibbles(
    data: number,
    scales: number,
    offsets: number,
    groups: number,
    zero: number,
    to: number,
  ): void;
  quantizeBytes(values: number, blocks: number, block: number, data: number, scales: number): void;
  quantizeNibbles(
    values: number,
    blocks: number,
    block: number,
    data: number,
    scales: number,
    zeroPoints: number,
  ): void;
  sgd(param: number, grad: number, n: number, lr: number, gradScale: number): void;
  sumOfSquares(ptr: number, n: number): number;
  addInto(dst: number, src: number, n: number): void;
  addRows(dst: number, ids: number, src: number, count: number, width: number): void;
  scale(ptr: number, n: number, s: number): void;
  fill(ptr: number, n: number, value: number): void;
}

let compiled: WebAssembly.Module | undefined;

/** The compiled kernels, which can be sent to another thread. */
export function kernelModule(): WasmModule {
  if (!compiled) {
    const bytes = Uint8Array.from(atob(kernelsBase64), (character) => character.charCodeAt(0));
    try {
      compiled = new WebAssembly.Module(bytes);
    } catch (error) {
      throw new RopewalkError(
        `this JavaScript engine cannot load WebAssembly with SIMD (${(error as Error).message}). ` +
          'Use Node 20.19 or newer, or a current browser.',
      );
    }
  }
  return compiled;
}

interface Attached {
  readonly kernels: KernelExports;
  /** Set for a shared memory. */
  readonly shared?: OnThreads;
}

/** A shared memory, and the threads that can work on it. */
export interface OnThreads extends ThreadMemory {
  readonly threads: KernelThreads;
  /** Tells memories apart. */
  readonly number: number;
}

/** What is attached to a buffer. A view finds its kernels through `view.buffer`. */
const attached = new WeakMap<ArrayBufferLike, Attached>();
let sharedMemories = 0;

/**
 * Makes kernels that work on `memory`, which must never grow: growing would detach every view on it.
 *
 * @param onThreads for a shared memory: the threads, and where their stages begin, of STAGE_BYTES each.
 */
export function attachKernels(
  memory: WasmMemory,
  onThreads?: { readonly threads: KernelThreads; readonly stages: number },
): void {
  const module = onThreads?.threads.module ?? kernelModule();
  const imports = { env: { memory: memory as WebAssembly.Memory } };
  const instance = new WebAssembly.Instance(module as WebAssembly.Module, imports);
  const kernels = instance.exports as unknown as KernelExports;
  const { buffer } = memory;
  const shared = onThreads && { ...onThreads, memory, buffer, kernels, number: sharedMemories++ };
  attached.set(buffer, { kernels, ...(shared && { shared }) });
}

/** The kernels that can reach all these views, or undefined if one is on another memory or on none. */
export function sharedKernels(
  first: ArrayBufferView,
  ...others: readonly ArrayBufferView[]
): KernelExports | undefined {
  for (const { buffer } of others) if (buffer !== first.buffer) return undefined;
  return attached.get(first.buffer)?.kernels;
}

/** The shared memory that a view is on, if it is on one. */
export function onThreads({ buffer }: ArrayBufferView): OnThreads | undefined {
  return attached.get(buffer)?.shared;
}
