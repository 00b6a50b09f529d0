import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import asc from 'assemblyscript/asc';

/** Far more than any processor's cache. */
const BYTES_PER_THREAD = 512 << 20;

/** Reads all of its memory, 128 bytes at a time. */
const SOURCE = `
export function read(bytes: usize): i64 {
  let a = v128.splat<i64>(0), b = a, c = a, d = a;
  for (let at: usize = 0; at < bytes; at += 128) {
    a = v128.xor(a, v128.xor(v128.load(at), v128.load(at, 16)));
    b = v128.xor(b, v128.xor(v128.load(at, 32), v128.load(at, 48)));
    c = v128.xor(c, v128.xor(v128.load(at, 64), v128.load(at, 80)));
    d = v128.xor(d, v128.xor(v128.load(at, 96), v128.load(at, 112)));
  }
  const all = v128.xor(v128.xor(a, b), v128.xor(c, d));
  return i64x2.extract_lane(all, 0) ^ i64x2.extract_lane(all, 1);
}`;

const WORKER = `
const { workerData, parentPort } = require('node:worker_threads');
const memory = new WebAssembly.Memory({ initial: workerData.bytes >> 16 });
new Uint8Array(memory.buffer).fill(1); // pages that were never written are all one page
const module = new WebAssembly.Module(workerData.binary);
const { read } = new WebAssembly.Instance(module, { env: { memory } }).exports;
for (let i = 0; i < 3; i++) read(workerData.bytes);
const gate = new Int32Array(workerData.gate);
parentPort.on('message', (round) => {
  Atomics.add(gate, 0, 1);
  while (Atomics.load(gate, 0) < round * workerData.threads);
  const started = performance.now();
  read(workerData.bytes);
  parentPort.postMessage(performance.now() - started);
});
parentPort.postMessage('ready');`;

/** Measures the total memory read bandwidth of several threads: a WebAssembly loop over 512 MiB per thread. */
export class ReadBandwidth {
  #rounds = 0;

  readonly #workers: readonly Worker[];

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
  }

  static async start(threads: number): Promise<ReadBandwidth> {
    const workerData = {
      binary: await compile(),
      bytes: BYTES_PER_THREAD,
      threads,
      gate: new SharedArrayBuffer(4),
    };
    const workers = Array.from({ length: threads }, () => new Worker(WORKER, { eval: true, workerData }));
    await Promise.all(workers.map(nextMessage));
    return new ReadBandwidth(workers);
  }

  /** Bytes per second; the best of three passes. */
  async measure(): Promise<number> {
    let best = 0;
    for (let i = 0; i < 3; i++) {
      this.#rounds++;
      const answers = Promise.all(this.#workers.map(nextMessage));
      for (const worker of this.#workers) worker.postMessage(this.#rounds);
      const slowest = Math.max(...((await answers) as number[]));
      best = Math.max(best, (this.#workers.length * BYTES_PER_THREAD) / (slowest / 1000));
    }
    return best;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

/** The next message of a worker; rejects with its error. */
async function nextMessage(worker: Worker): Promise<unknown> {
  const [message] = await once(worker, 'message');
  return message;
}

async function compile(): Promise<Uint8Array> {
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main(
    [
      'read.ts',
      '-O3',
      '--enable',
      'simd',
      '--runtime',
      'stub',
      '--importMemory',
      '--noAssert',
      '--outFile',
      'out',
    ],
    {
      readFile: (name) => (name === 'read.ts' ? SOURCE : null),
      writeFile: (name, contents) => {
        if (name === 'out') binary = contents as Uint8Array;
      },
      listFiles: () => [],
    },
  );
  if (error || !binary) throw new Error(`the read loop does not compile: ${stderr.toString()}`);
  return binary;
}
