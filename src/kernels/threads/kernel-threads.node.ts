import { sharedKernelsBase64 } from '../shared-kernels.generated.ts';
import { HelperThread } from './helper-thread.node.ts';
import {
  CHUNK,
  chunkCount,
  type KernelThreads,
  kernelShare,
  type SharedCall,
  type SharedJob,
  STAGE_BYTES,
  type ThreadMemory,
} from './shared-call.ts';

/** Helpers are called for at least this many elements: waking them takes as long as some hundred thousand. */
const LEAST_ELEMENTS = 2 ** 19;
/** More threads only wait for the memory. */
const MOST_THREADS = 8;
/** Milliseconds to wait for helpers with their last chunks, which take microseconds. */
const PATIENCE = 60_000;

/** The program of a helper: `kernelShare` for every job that it is sent. */
const PROGRAM = `
const { parentPort, workerData } = require('node:worker_threads');
const memories = new Map();
const take = (${kernelShare})((number) => memories.get(number));
parentPort.on('message', ({ added, job, thread }) => {
  for (const [number, { memory, stages }] of added) {
    const { exports } = new WebAssembly.Instance(workerData, { env: { memory } });
    memories.set(number, { kernels: exports, buffer: memory.buffer, stages });
  }
  take(job, thread);
});
`;

interface Helper {
  readonly thread: HelperThread;
  /** The numbers of the memories that it has. */
  readonly known: Set<number>;
}

let compiled: WebAssembly.Module | undefined;
/** All of the process, in the order in which they are called. */
let helpers: Helper[] = [];

/** A helper that has a memory would keep it: it ends when the memory is not used any more, and the next job starts another. */
const unused = new FinalizationRegistry<number>((number) => {
  for (const { thread, known } of helpers) if (known.has(number)) thread.end();
});

/**
 * Threads that run kernels: the caller's and helpers, which the whole process shares. They start with the first job that is
 * large enough.
 *
 * @param count including the caller's.
 * @param leastElements of a job for which helpers are called.
 * @returns undefined for one thread.
 */
export function kernelThreads(count: number, leastElements = LEAST_ELEMENTS): KernelThreads | undefined {
  const threads = Math.min(count, MOST_THREADS);
  if (threads < 2) return undefined;
  compiled ??= new WebAssembly.Module(Buffer.from(sharedKernelsBase64, 'base64'));
  return { count: threads, module: compiled, run: (...given) => run(threads, leastElements, ...given) };
}

/** Helper threads that are running. */
export function helperCount(): number {
  return helpers.filter(({ thread }) => thread.isAlive).length;
}

function run(
  threads: number,
  leastElements: number,
  calls: readonly SharedCall[],
  memories: ReadonlyMap<number, ThreadMemory>,
): Float64Array {
  const job: SharedJob = {
    calls,
    chunk: CHUNK,
    stageBytes: STAGE_BYTES,
    state: new Int32Array(new SharedArrayBuffer(12)),
    results: new Float64Array(new SharedArrayBuffer(8 * calls.length)),
  };
  const total = chunkCount(calls, CHUNK);
  const elements = calls.reduce((sum, { n }) => sum + n, 0);
  if (elements >= leastElements) callHelpers(Math.min(threads, total) - 1, job, memories);
  kernelShare((number) => memories.get(number)!)(job, 0);
  for (let done = Atomics.load(job.state, 1); done < total; done = Atomics.load(job.state, 1)) {
    if (Atomics.wait(job.state, 1, done, PATIENCE) === 'timed-out') {
      throw new Error('a helper thread did not finish its part of an update');
    }
  }
  if (Atomics.load(job.state, 2) !== 0) throw new Error('a helper thread failed in its part of an update');
  return job.results;
}

function callHelpers(count: number, job: SharedJob, memories: ReadonlyMap<number, ThreadMemory>): void {
  helpers = helpers.filter(({ thread }) => thread.isAlive);
  while (helpers.length < count)
    helpers.push({ thread: new HelperThread(PROGRAM, compiled), known: new Set() });
  for (const [i, { thread, known }] of helpers.slice(0, count).entries()) {
    const added = [...memories].filter(([number]) => !known.has(number));
    for (const [number, { memory }] of added) {
      known.add(number);
      unused.register(memory, number);
    }
    thread.post({
      added: added.map(([number, { memory, stages }]) => [number, { memory, stages }]),
      job,
      thread: i + 1,
    });
  }
}
