/**
 * Kernels for arrays that do not lie on one WebAssembly memory: they are copied, chunk by chunk, to a small memory that
 * stays in the processor's caches, worked on there, and copied back. Chunks leave no trace in the result.
 */
import { attachKernels, type KernelExports, sharedKernels } from './kernel-module.ts';

type KernelArray = Float32Array | Float64Array | Uint16Array | Uint8Array;

/** What a kernel that goes over n elements is given of an array. */
export interface Operand {
  readonly view: KernelArray;
  /** Elements of the loop to one element of the array: 1, or a block's size for its scale. Default 1. */
  readonly every?: number;
  /** `scratch` has no content before or after. Default `read`. */
  readonly use?: 'read' | 'update' | 'scratch';
}

/** Runs a kernel on elements `start` to `start + count`, whose operands begin at `pointers`. */
type ElementwiseKernel<Pointers extends readonly number[]> = (
  kernels: KernelExports,
  pointers: Pointers,
  start: number,
  count: number,
) => void;

/** Elements at a time: four float32 arrays of them fill half a megabyte, part of a second-level cache. */
const CHUNK = 2 ** 15;

/** Arrays of fewer elements are not worth a copy: plain JavaScript is as fast. */
const SMALL = 512;

const ALIGNMENT = 64;

let scratch: { readonly buffer: ArrayBuffer; readonly kernels: KernelExports } | undefined;

/** A memory of at least so many bytes, with kernels, for whoever asked last. */
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

/** Views on scratch memory, one after another; valid until it is asked for again. */
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
 * Runs a kernel that treats every element, or every block of them, by itself: at once where all arrays lie on one
 * memory, else in chunks.
 *
 * @param chunk elements at a time, a multiple of every operand's `every`.
 * @returns false when nothing was done: the arrays lie apart and are small, best gone over in plain JavaScript.
 */
export function runElementwise<Pointers extends readonly number[]>(
  n: number,
  operands: { readonly [I in keyof Pointers]: Operand },
  kernel: ElementwiseKernel<Pointers>,
  chunk?: number,
): boolean {
  const views = operands.map(({ view }) => view);
  const direct = sharedKernels(views[0]!, ...views);
  if (direct) {
    kernel(direct, views.map(({ byteOffset }) => byteOffset) as unknown as Pointers, 0, n);
    return true;
  }
  if (chunk === undefined && n < SMALL) return false;
  inChunks(n, operands, kernel, chunk ?? CHUNK);
  return true;
}

function inChunks<Pointers extends readonly number[]>(
  n: number,
  operands: readonly Operand[],
  kernel: ElementwiseKernel<Pointers>,
  chunk: number,
): void {
  const most = Math.min(n, chunk);
  const lengths = operands.map(({ view, every = 1, use }) =>
    use === 'scratch' ? view.length : Math.ceil(most / every),
  );
  const staged = scratchViews(
    operands.map(({ view }) => view),
    lengths,
  );
  const pointers = staged.views.map(({ byteOffset }) => byteOffset) as unknown as Pointers;
  for (let start = 0; start < n; start += chunk) {
    const count = Math.min(chunk, n - start);
    const part = ({ view, every = 1 }: Operand) =>
      view.subarray(start / every, Math.ceil((start + count) / every));
    for (const [i, operand] of operands.entries()) {
      if (operand.use !== 'scratch') staged.views[i]!.set(part(operand));
    }
    kernel(staged.kernels, pointers, start, count);
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
