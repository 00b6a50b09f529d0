import type { KernelExports } from '../kernel-module.ts';
import type { WasmMemory, WasmModule } from '../web-assembly.ts';

/** Elements of a call that one thread runs at a time: four float32 arrays take half a megabyte, part of a second-level cache. */
export const CHUNK = 2 ** 15;

/** Bytes that every thread has at the end of a shared memory, for the chunks of arrays that are on another one. */
export const STAGE_BYTES = 2 ** 18;

/** An array on a shared memory. */
interface SharedOperand {
  /** The number of its memory. */
  readonly memory: number;
  /** Where it begins, in bytes. */
  readonly start: number;
  readonly elementBytes: number;
  /** Elements of the loop per element: 1, or the block size for scales. */
  readonly every: number;
  /** `scratch` has no content before or after; its length is that of the array. */
  readonly use: 'read' | 'update' | 'scratch';
  readonly length: number;
}

/** A kernel call on shared memories: `kernel(...pointers, n, ...numbers)`. */
export interface SharedCall {
  readonly kernel: keyof KernelExports;
  /** The memory that the kernel works on; operands on others are copied there chunk by chunk. */
  readonly home: number;
  readonly n: number;
  readonly operands: readonly SharedOperand[];
  readonly numbers: readonly number[];
  /** For kernels that take the index of their first element as last number: that of element 0. */
  readonly first: number | undefined;
  /** `chunks` run in any order on any thread; `whole` runs on one, and its result is kept. */
  readonly split: 'chunks' | 'whole';
}

/** Calls that threads run together. Everything in it can be sent to a thread. */
export interface SharedJob {
  readonly calls: readonly SharedCall[];
  readonly chunk: number;
  readonly stageBytes: number;
  /** On shared memory: chunks that were taken, chunks that are done, and 1 if one has failed. */
  readonly state: Int32Array;
  /** On shared memory: the results of `whole` calls. */
  readonly results: Float64Array;
}

/** A shared memory with its kernels. */
export interface SharedMemory {
  readonly kernels: KernelExports;
  readonly buffer: ArrayBufferLike;
  /** Where the threads' stages begin. */
  readonly stages: number;
}

/**
 * Makes a thread's part of the work: it takes chunks of a job until none is left. The source of this function is the
 * program of a helper thread: it refers to nothing outside itself.
 */
export function kernelShare(
  memoryOf: (memory: number) => SharedMemory,
): (job: SharedJob, thread: number) => void {
  const chunksOf = ({ n, split }: SharedCall, chunk: number) =>
    split === 'whole' ? 1 : Math.ceil(n / chunk);

  /** The bytes of an operand's elements from `start` to `end` of the loop. */
  function part(operand: SharedOperand, start: number, end: number): Uint8Array {
    const { memory, every, elementBytes, use, length } = operand;
    const [from, to] = use === 'scratch' ? [0, length] : [start / every, Math.ceil(end / every)];
    const at = operand.start + from * elementBytes;
    return new Uint8Array(memoryOf(memory).buffer, at, (to - from) * elementBytes);
  }

  function run(call: SharedCall, start: number, end: number, stage: number): number | undefined {
    const { kernels, buffer } = memoryOf(call.home);
    const staged: { operand: SharedOperand; copy: Uint8Array; original: Uint8Array }[] = [];
    let next = stage;
    const pointers = call.operands.map((operand) => {
      const original = part(operand, start, end);
      if (operand.memory === call.home && operand.use !== 'scratch') return original.byteOffset;
      const copy = new Uint8Array(buffer, next, original.length);
      next += Math.ceil(original.length / 64) * 64;
      if (operand.use !== 'scratch') copy.set(original);
      staged.push({ operand, copy, original });
      return copy.byteOffset;
    });
    const numbers = call.first === undefined ? call.numbers : [...call.numbers, call.first + start];
    const kernel = kernels[call.kernel] as (...args: number[]) => number | undefined;
    const result = kernel(...pointers, end - start, ...numbers);
    for (const { operand, copy, original } of staged) if (operand.use === 'update') original.set(copy);
    return result;
  }

  return ({ calls, chunk, stageBytes, state, results }, thread) => {
    let total = 0;
    for (const call of calls) total += chunksOf(call, chunk);
    let index = 0;
    let before = 0;
    for (let taken = Atomics.add(state, 0, 1); taken < total; taken = Atomics.add(state, 0, 1)) {
      while (taken - before >= chunksOf(calls[index]!, chunk)) before += chunksOf(calls[index++]!, chunk);
      const call = calls[index]!;
      try {
        const start = (taken - before) * chunk;
        const end = call.split === 'whole' ? call.n : Math.min(call.n, start + chunk);
        const result = run(call, start, end, memoryOf(call.home).stages + thread * stageBytes);
        if (call.split === 'whole') results[index] = result!;
      } catch {
        Atomics.store(state, 2, 1);
      }
      if (Atomics.add(state, 1, 1) + 1 === total) Atomics.notify(state, 1);
    }
  };
}

/** The chunks of a job. */
export function chunkCount(calls: readonly SharedCall[], chunk: number): number {
  return calls.reduce((sum, { n, split }) => sum + (split === 'whole' ? 1 : Math.ceil(n / chunk)), 0);
}

/** Threads that run kernels on memories that they share. */
export interface KernelThreads {
  /** Including the caller's. */
  readonly count: number;
  /** The kernels for shared memory. */
  readonly module: WasmModule;
  /**
   * Runs calls that do not depend on each other, and returns when all are done. Elements have the same bits on any number of threads.
   *
   * @param memories all that the calls name.
   * @returns the result of each `whole` call, by its place among the calls.
   */
  run(calls: readonly SharedCall[], memories: ReadonlyMap<number, ThreadMemory>): Float64Array;
}

/** A memory that threads can be given. */
export interface ThreadMemory extends SharedMemory {
  readonly memory: WasmMemory;
}
