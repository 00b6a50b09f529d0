import { type KernelExports, type OnThreads, onThreads } from '../kernel-module.ts';
import type { ElementwiseKernel, KernelArray, Operand } from '../staging.ts';
import { CHUNK, type KernelThreads, type SharedCall, STAGE_BYTES, type ThreadMemory } from './shared-call.ts';

/** A call, the threads that can run it, and the memories that it needs. */
interface Prepared {
  readonly call: SharedCall;
  readonly threads: KernelThreads;
  readonly memories: readonly OnThreads[];
}

/** What {@link together} has collected so far. */
let collected: Prepared[] | undefined;

/**
 * Runs the elementwise kernels that `work` calls together, on all threads of their memories, when it returns. They must not
 * depend on each other. Those on other memories run at once, in the caller's thread.
 */
export function together(work: () => void): void {
  if (collected) {
    work();
    return;
  }
  const calls: Prepared[] = [];
  collected = calls;
  try {
    work();
  } finally {
    collected = undefined;
    // Also after an error: what was called is done, as without threads.
    runAll(calls);
  }
}

/** Runs a kernel on the threads of its memory, or leaves it to {@link together}. @returns false if it has none. */
export function runOnThreads(n: number, operands: readonly Operand[], kernel: ElementwiseKernel): boolean {
  const prepared = prepare(n, operands, kernel, 'chunks');
  if (!prepared) return false;
  if (collected) collected.push(prepared);
  else runAll([prepared]);
  return true;
}

/** The results of a kernel `(pointer, n)` for each array. @returns undefined if one of them is on a memory without threads. */
export function resultsOnThreads(
  kernel: keyof KernelExports,
  arrays: readonly KernelArray[],
): number[] | undefined {
  const calls = arrays.map((view) => prepare(view.length, [{ view }], { kernel, numbers: [] }, 'whole'));
  const [first] = calls;
  if (!first || !calls.every((each) => each?.threads === first.threads)) return undefined;
  return [...run(calls as Prepared[], first.threads)];
}

function runAll(calls: readonly Prepared[]): void {
  for (const threads of new Set(calls.map((each) => each.threads))) {
    run(
      calls.filter((each) => each.threads === threads),
      threads,
    );
  }
}

function run(calls: readonly Prepared[], threads: KernelThreads): Float64Array {
  const memories = new Map<number, ThreadMemory>();
  for (const { memories: some } of calls) for (const each of some) memories.set(each.number, each);
  return threads.run(
    calls.map(({ call }) => call),
    memories,
  );
}

function prepare(
  n: number,
  operands: readonly Operand[],
  { kernel, numbers, first }: ElementwiseKernel,
  split: SharedCall['split'],
): Prepared | undefined {
  const memories: OnThreads[] = [];
  let staged = 0;
  const shared: SharedCall['operands'][number][] = [];
  for (const { view, every = 1, use = 'read' } of operands) {
    const memory = onThreads(view);
    if (!memory) return undefined;
    memories.push(memory);
    const elementBytes = view.BYTES_PER_ELEMENT;
    if (use === 'scratch' || memory !== memories[0]) {
      const length = use === 'scratch' ? view.length : Math.ceil(CHUNK / every);
      staged += Math.ceil((length * elementBytes) / 64) * 64;
    }
    shared.push({
      memory: memory.number,
      start: view.byteOffset,
      elementBytes,
      every,
      use,
      length: view.length,
    });
  }
  const [home] = memories;
  if (!home || staged > STAGE_BYTES) return undefined;
  const call = { kernel, home: home.number, n, operands: shared, numbers, first, split };
  return { call, threads: home.threads, memories };
}
