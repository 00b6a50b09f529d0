import { readSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { RopewalkError } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';
import { kernelModule } from '../../kernels/kernel-module.ts';
import { BLOCK_TYPES } from '../../kernels/unpack-kernels.ts';
import type { Quantization } from '../../onnx/quantize.ts';
import {
  newQuantizedArrays,
  type QuantizedArrays,
  type QuantizedMatrix,
  type QuantizedShape,
  rowsOfArrays,
} from '../../onnx/weights.ts';
import type { RowUnpacker, StoredRows } from '../checkpoint.ts';
import { Helper } from './helper.node.ts';
import { type RowTarget, type RowTask, rowShare, type TakeBatches } from './share.ts';
import { SharedStage } from './shared-stage.ts';

/** Values of a batch: as float32 a quarter of a megabyte, part of a second-level cache. */
const BATCH = 2 ** 16;
/** Helper threads start after this many values: a small model is read before a thread has started. */
const LEAST_VALUES = 2 ** 24;
/** A large matrix is read in parts, to bound the memory that the threads share. */
const PART = 2 ** 24;
/** More threads only wait for the file. */
const MOST_THREADS = 8;

/**
 * Unpacks and quantizes matrices of files on several threads: each takes batches of rows and reads them until none is
 * left. A batch has the same bytes whichever thread reads it. Helper threads start once a model has shown to be large,
 * and keep no process alive.
 *
 * Threads fill arrays on shared memory in place; results for others are copied.
 */
export class RowThreads implements RowUnpacker {
  readonly #count: number;
  readonly #leastValues: number;
  /** Values read so far. */
  #values = 0;
  #own: TakeBatches | undefined;
  #helpers: Helper[] | undefined;
  readonly #stage = new SharedStage();
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
  async quantize(stored: StoredRows, form: Quantization, into?: QuantizedArrays): Promise<QuantizedMatrix> {
    const { rows, columns } = stored;
    const shape = { rows, columns, ...form };
    const arrays = into ?? newQuantizedArrays({ ...shape, hasZeroPoints: form.bits === 4 });
    await this.#inTurn(() => this.#read(stored, form, shape, arrays));
    return { ...shape, ...arrays };
  }

  async unpack(stored: StoredRows, shape: QuantizedShape, into: QuantizedArrays): Promise<boolean> {
    if (!stored.source.lend || !(stored.type in BLOCK_TYPES)) return false;
    await this.#inTurn(() => this.#read(stored, undefined, shape, into));
    return true;
  }

  /** Ends the helper threads; the next matrix starts them again. */
  close(): void {
    for (const helper of this.#helpers ?? []) helper.end();
    this.#helpers = undefined;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }

  async #read(
    { source, offset, type, rows, columns, places }: StoredRows,
    form: Quantization | undefined,
    shape: QuantizedShape,
    arrays: QuantizedArrays,
  ): Promise<void> {
    const stored = type === 'F32' || type === 'F16' || type === 'BF16' ? type : BLOCK_TYPES[type];
    const rowBytes =
      typeof stored === 'string'
        ? columns * (stored === 'F32' ? 4 : 2)
        : (columns / stored.size) * stored.bytes;
    // Rows may only move within a part.
    const partRows = places ? rows : Math.max(1, Math.floor(PART / columns));
    const batchRows = Math.max(1, Math.min(rows, Math.floor(BATCH / columns)));
    await source.lend!(async (file) => {
      for (let first = 0; first < rows; first += partRows) {
        const count = Math.min(partRows, rows - first);
        const part = {
          stored,
          columns,
          form,
          places,
          batchRows,
          file,
          rows: count,
          offset: offset + first * rowBytes,
        };
        await this.#readPart(part, rowsOfArrays(shape, arrays, first, count), source.name);
      }
    });
  }

  async #readPart(part: Omit<RowTask, 'taken' | 'finished'>, target: RowTarget, name: string): Promise<void> {
    const { rows, columns, batchRows } = part;
    const batches = Math.ceil(rows / batchRows);
    const task: RowTask = {
      ...part,
      taken: new Int32Array(new SharedArrayBuffer(4)),
      finished: new Uint8Array(new SharedArrayBuffer(batches)),
    };
    const started = batches > 1 ? this.#started() : [];
    const shared = started.length > 0 ? this.#stage.for(target) : target;
    const working = started.map((helper, i) => helper.work(task, shared, i + 2));
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
    if (failure !== undefined) throw readError(failure, name);
    for (let batch = 0; batch < batches; batch++) {
      const by = Atomics.load(task.finished, batch);
      if (by === 0) this.#redo(batch, task, target, name);
      else if (by > 1) this.#stage.copyBatch(batch, task, target);
    }
  }

  /** Reads a batch that a helper took and did not finish, which shows the reason if it is the file. */
  #redo(batch: number, task: RowTask, target: RowTarget, name: string): void {
    const first = batch * task.batchRows;
    const rows = Math.min(task.rows, first + task.batchRows);
    Atomics.store(task.taken, 0, batch);
    try {
      this.#takeBatches({ ...task, rows }, target);
    } catch (error) {
      throw readError(error, name);
    }
  }

  #takeBatches(task: RowTask, target: RowTarget): void {
    this.#own ??= rowShare({ readSync }, kernelModule());
    this.#own(task, target, 1);
  }

  #started(): readonly Helper[] {
    if (this.#values < this.#leastValues) return [];
    this.#helpers ??= Array.from({ length: this.#count - 1 }, () => new Helper());
    return this.#helpers.filter(({ isAlive }) => isAlive);
  }
}

function readError(error: unknown, name: string): unknown {
  if (error instanceof Error && !('code' in error) && error.message === 'the file became shorter') {
    return new RopewalkError(`cannot read ${name}: it became shorter; do not change a model that is in use`);
  }
  return fileError(error, 'read', name);
}
