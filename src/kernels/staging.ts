/**
 * Kernels for arrays that are not on one WebAssembly memory: they are copied, chunk by chunk, to a small memory that
 * stays in the processor's caches, processed there, and copied back. The result does not depend on the chunks.
 */
import { attachKernels, type KernelExports, sharedKernels } from './kernel-module.ts';
import { CHUNK } from './threads/shared-call.ts';
import { runOnThreads } from './threads/together.ts';

export type KernelArray = Float32Array | Float64Array | Uint16Array | Uint8Array;

/** An array argument of an elementwise kernel. */
export interface Operand {
  readonly view: KernelArray;
  /** Loop elements per array element: 1, or the block size for scales. Default 1. */
  readonly every?: number;
  /** `scratch` has no content before or after. Default `read`. */
  readonly use?: 'read' | 'update' | 'scratch';
}

/** A kernel `(...pointers, n, ...numbers)` that processes elements or blocks independently. */
export interface ElementwiseKernel {
  readonly kernel: keyof KernelExports;
  readonly numbers: readonly number[];
  /** For kernels that take the index of their first element as last number: that of element 0. */
  readonly first?: number;
}

/** Arrays of fewer elements are not worth a copy: plain JavaScript is as fast. */
const SMALL = 512;

const ALIGNMENT = 64;

let scratch: { readonly buffer: ArrayBuffer; readonly kernels: KernelExports } | undefined;

/** A memory of at least this many bytes, with kernels; valid until the next call. */
function scratchMemory(bytes: number) {
  if (!scratch || scratch.buffer.byteLength < bytes) {
    const pages = Math.max(16, Math.ceil(bytes / 65536));
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    attachKernels(memory);
    const { buffer } = memory;
    scratch = { buffer: buffer as ArrayBuffer, kernels: sharedKernels(new Uint8Array(buffer))! };
  }
  return scratch;
}

/** Consecutive views of scratch memory; valid until the next call. */
export function scratchViews<const Views extends readonly KernelArray[]>(
  like: Views,
  lengths: readonly number[],
): { kernels: KernelExports; views: { [I in keyof Views]: Views[I] } } {
  const starts: number[] = [];
  let bytes = 0;
  for (const [i, { BYTES_PER_ELEMENT }] of like.entries()) {
    starts.push(bytes);
    bytes += Math.ceil((lengths[i]! * BYTES_PER_ELEMENT) / ALIGNMENT) * ALIGNMENT;
  }
  const { buffer, kernels } = scratchMemory(bytes);
  const views = like.map((view, i) => viewLike(view, buffer, starts[i]!, lengths[i]!));
  return { kernels, views: views as unknown as { [I in keyof Views]: Views[I] } };
}

/**
 * Runs a kernel: on all threads of a shared memory, at once if all arrays are on one memory, else in chunks.
 *
 * @param chunk elements at a time, a multiple of every operand's `every`.
 * @returns false when nothing was done: the arrays are on different memories and small, so plain JavaScript is
 *   faster.
 */
export function runElementwise(
  n: number,
  operands: readonly Operand[],
  kernel: ElementwiseKernel,
  chunk?: number,
): boolean {
  if (chunk === undefined && runOnThreads(n, operands, kernel)) return true;
  const views = operands.map(({ view }) => view);
  const direct = sharedKernels(views[0]!, ...views);
  if (direct) {
    const pointers = views.map(({ byteOffset }) => byteOffset);
    call(direct, kernel, pointers, 0, n);
    return true;
  }
  if (chunk === undefined && n < SMALL) return false;
  inChunks(n, operands, kernel, chunk ?? CHUNK);
  return true;
}

function call(
  kernels: KernelExports,
  { kernel, numbers, first }: ElementwiseKernel,
  pointers: readonly number[],
  start: number,
  count: number,
): void {
  const run = kernels[kernel] as (...args: number[]) => void;
  run(...pointers, count, ...numbers, ...(first === undefined ? [] : [first + start]));
}

function inChunks(n: number, operands: readonly Operand[], kernel: ElementwiseKernel, chunk: number): void {
  const most = Math.min(n, chunk);
  const lengths = operands.map(({ view, every = 1, use }) =>
    use === 'scratch' ? view.length : Math.ceil(most / every),
  );
  const staged = scratchViews(
    operands.map(({ view }) => view),
    lengths,
  );
  const pointers = staged.views.map(({ byteOffset }) => byteOffset);
  for (let start = 0; start < n; start += chunk) {
    const count = Math.min(chunk, n - start);
    const part = ({ view, every = 1 }: Operand) =>
      view.subarray(start / every, Math.ceil((start + count) / every));
    for (const [i, operand] of operands.entries()) {
      if (operand.use !== 'scratch') staged.views[i]!.set(part(operand));
    }
    call(staged.kernels, kernel, pointers, start, count);
    for (const [i, operand] of operands.entries()) {
      const { every = 1, use } = operand;
      if (use === 'update') part(operand).set(staged.views[i]!.subarray(0, Math.ceil(count / every)));
    }
  }
}

function viewLike(view: KernelArray, buffer: ArrayBuffer, start: number, length: number): KernelArray {
  if (view instanceof Float32Array) return new Float32Array(buffer, start, length);
  if (view instanceof Float64Array) return new Float64Array(buffer, start, length);
  if (view instanceof Uint16Array) return new Uint16Array(buffer, start, length);
  return new Uint8Array(buffer, start, length);
}
