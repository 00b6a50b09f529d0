import { closeSync, openSync, readSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { RopewalkError } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';
import { kernelModule } from '../../kernels/kernel-module.ts';
import type { Quantization } from '../../onnx/quantize.ts';
import {
  blocksInRow,
  newQuantizedArrays,
  type QuantizedArrays,
  type QuantizedMatrix,
  rowsOfArrays,
} from '../../onnx/weights.ts';
import { float16ToFloat32 } from '../dtypes.ts';
import { type QuantizedTarget, type QuantizeTask, quantizeShare, type TakeBatches } from './share.ts';

/** Values of a batch: a quarter of a megabyte, part of a second-level cache. */
const BATCH = 2 ** 16;
/** Helper threads start after this many values: a small model is quantized before a thread has started. */
const LEAST_VALUES = 2 ** 24;
/** A large matrix is quantized in parts, to bound the memory that the threads share. */
const PART = 2 ** 24;
/** More threads only wait for the file. */
const MOST_THREADS = 8;

/** A float matrix in a file, row-major. */
export interface FileMatrix {
  /** The file to open. */
  readonly path: string;
  /** Its name in messages. */
  readonly name: string;
  readonly offset: number;
  readonly dtype: 'F32' | 'F16' | 'BF16';
  readonly rows: number;
  readonly columns: number;
}

/**
 * Quantizes matrices of files on several threads: each takes batches of rows, reads, and quantizes them, until none is
 * left. A batch has the same bytes whichever thread quantizes it. Helper threads start once a model has shown to be
 * large, and keep no process alive.
 */
export class QuantizeThreads {
  readonly #count: number;
  readonly #leastValues: number;
  /** Values quantized so far. */
  #values = 0;
  #own: TakeBatches | undefined;
  #helpers: Helper[] | undefined;
  /** One matrix at a time. */
  #last: Promise<unknown> = Promise.resolve();

  /**
   * @param threads including the caller's; by default one per core
   * @param leastValues values after which helper threads start
   */
  constructor(threads = availableParallelism(), leastValues = LEAST_VALUES) {
    this.#count = Math.max(1, Math.min(threads, MOST_THREADS));
    this.#leastValues = leastValues;
  }

  /** See `quantizeRows`. @throws RopewalkError for a file that cannot be read */
  quantize(matrix: FileMatrix, form: Quantization, into?: QuantizedArrays): Promise<QuantizedMatrix> {
    const result = this.#last.then(() => this.#quantize(matrix, form, into));
    this.#last = result.catch(() => {});
    return result;
  }

  /** Ends the helper threads; the next matrix starts them again. */
  close(): void {
    for (const helper of this.#helpers ?? []) helper.end();
    this.#helpers = undefined;
  }

  async #quantize(matrix: FileMatrix, form: Quantization, into?: QuantizedArrays): Promise<QuantizedMatrix> {
    const { rows, columns } = matrix;
    const shape = { rows, columns, ...form };
    const arrays = into ?? newQuantizedArrays({ ...shape, hasZeroPoints: form.bits === 4 });
    const partRows = Math.max(1, Math.floor(PART / columns));
    const rowBytes = columns * (matrix.dtype === 'F32' ? 4 : 2);
    for (let first = 0; first < rows; first += partRows) {
      const count = Math.min(partRows, rows - first);
      const part = { ...matrix, rows: count, offset: matrix.offset + first * rowBytes };
      await this.#quantizePart(part, form, rowsOfArrays(shape, arrays, first, count));
    }
    return { ...shape, ...arrays };
  }

  async #quantizePart(matrix: FileMatrix, form: Quantization, arrays: QuantizedArrays): Promise<void> {
    const { path, offset, dtype, rows, columns } = matrix;
    const width = blocksInRow({ rows, columns, ...form }) * form.block;
    const batchRows = Math.max(1, Math.min(rows, Math.floor(BATCH / width)));
    const batches = Math.ceil(rows / batchRows);
    const task: QuantizeTask = {
      ...{ path, offset, dtype, rows, columns, ...form, batchRows },
      taken: new Int32Array(new SharedArrayBuffer(4)),
      finished: new Uint8Array(new SharedArrayBuffer(batches)),
    };
    const target = { data: arrays.data, scales: arrays.scales, zeroPoints: arrays.zeroPoints };
    const started = batches > 1 ? this.#started() : [];
    const shared = started.length > 0 ? sharedTarget(target) : undefined;
    const working = started.map((helper, i) => helper.work(task, shared!, i + 2));
    let failure: unknown;
    try {
      this.#takeBatches(task, target);
    } catch (error) {
      failure = error;
      // Stops the helpers after their current batches.
      Atomics.store(task.taken, 0, batches);
    }
    await Promise.all(working);
    this.#values += rows * columns;
    if (failure !== undefined) throw readError(failure, matrix.name);
    for (let batch = 0; batch < batches; batch++) {
      const by = Atomics.load(task.finished, batch);
      if (by === 1) continue;
      if (by > 1) copyBatch(shared!, target, batch, task);
      else this.#redo(batch, task, target, matrix.name);
    }
  }

  /** Quantizes a batch that a helper took and did not finish, which shows the reason if it is the file. */
  #redo(batch: number, task: QuantizeTask, target: QuantizedTarget, name: string): void {
    const first = batch * task.batchRows;
    const rows = Math.min(task.rows, first + task.batchRows);
    Atomics.store(task.taken, 0, batch);
    try {
      this.#takeBatches({ ...task, rows }, target);
    } catch (error) {
      throw readError(error, name);
    }
  }

  #takeBatches(task: QuantizeTask, target: QuantizedTarget): void {
    this.#own ??= quantizeShare({ openSync, readSync, closeSync }, kernelModule(), float16Bits());
    this.#own(task, target, 1);
  }

  #started(): readonly Helper[] {
    if (this.#values < this.#leastValues) return [];
    this.#helpers ??= Array.from({ length: this.#count - 1 }, () => new Helper());
    return this.#helpers.filter(({ isAlive }) => isAlive);
  }
}

/** The program of a helper thread: `quantizeShare` for every task that it is sent. */
const PROGRAM = `
const { parentPort, workerData } = require('node:worker_threads');
const take = (${quantizeShare})(require('node:fs'), workerData.kernels, workerData.float16);
parentPort.on('message', ({ task, target, thread }) => {
  try { take(task, target, thread); } catch {}
  parentPort.postMessage(0);
});
`;

class Helper {
  readonly #worker: Worker | undefined;
  isAlive = true;
  #done: () => void = () => {};

  constructor() {
    try {
      this.#worker = new Worker(PROGRAM, {
        eval: true,
        // Without the caller's: a loader of modules would be started once more.
        execArgv: [],
        workerData: { kernels: kernelModule(), float16: float16Bits() },
      });
    } catch {
      // No more threads: the caller does all of the work.
      this.isAlive = false;
      return;
    }
    this.#worker.on('message', () => this.#done());
    for (const event of ['error', 'exit']) {
      this.#worker.on(event, () => {
        this.isAlive = false;
        this.#done();
      });
    }
    this.#worker.unref();
  }

  /** Resolves when the thread has no more to do, or has ended. What it finished is marked in the task. */
  work(task: QuantizeTask, target: QuantizedTarget, thread: number): Promise<void> {
    return new Promise((resolve) => {
      this.#worker!.ref();
      this.#done = () => {
        this.#worker!.unref();
        resolve();
      };
      this.#worker!.postMessage({ task, target, thread });
    });
  }

  end(): void {
    this.isAlive = false;
    void this.#worker?.terminate();
  }
}

function sharedTarget({ data, scales, zeroPoints }: QuantizedTarget): QuantizedTarget {
  return {
    data: new Uint8Array(new SharedArrayBuffer(data.byteLength)),
    scales: new Float32Array(new SharedArrayBuffer(scales.byteLength)),
    zeroPoints: zeroPoints && new Uint8Array(new SharedArrayBuffer(zeroPoints.byteLength)),
  };
}

function copyBatch(from: QuantizedTarget, to: QuantizedTarget, batch: number, task: QuantizeTask): void {
  const first = batch * task.batchRows;
  const end = Math.min(task.rows, first + task.batchRows);
  const copy = (source: Uint8Array | Float32Array, target: Uint8Array | Float32Array) => {
    const width = target.length / task.rows;
    target.set(source.subarray(first * width, end * width), first * width);
  };
  copy(from.data, to.data);
  copy(from.scales, to.scales);
  if (to.zeroPoints) copy(from.zeroPoints!, to.zeroPoints);
}

function readError(error: unknown, name: string): unknown {
  if (error instanceof Error && !('code' in error) && error.message === 'the file became shorter') {
    return new RopewalkError(`cannot read ${name}: it became shorter; do not change a model that is in use`);
  }
  return fileError(error, 'read', name);
}

let float16Table: Uint32Array | undefined;

/** The float32 bits of each float16 code. */
function float16Bits(): Uint32Array {
  if (!float16Table) {
    const values = new Float32Array(0x10000);
    float16ToFloat32(
      Uint16Array.from(values, (_, code) => code),
      values,
    );
    float16Table = new Uint32Array(values.buffer);
  }
  return float16Table;
}
