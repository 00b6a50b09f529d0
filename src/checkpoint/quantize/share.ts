import type { KernelExports } from '../../kernels/kernel-module.ts';

/** Rows of a matrix in a file, to be quantized by several threads. Everything in it can be sent to a thread. */
export interface QuantizeTask {
  readonly path: string;
  /** Where the rows begin in the file. */
  readonly offset: number;
  readonly dtype: 'F32' | 'F16' | 'BF16';
  readonly rows: number;
  readonly columns: number;
  readonly bits: 4 | 8;
  readonly block: number;
  /** Rows of a batch; the last may have fewer. */
  readonly batchRows: number;
  /** On shared memory: the number of batches that have been taken. */
  readonly taken: Int32Array;
  /** On shared memory, one per batch: the thread that has finished it; 0 until then. */
  readonly finished: Uint8Array;
}

/** Arrays of a quantized matrix that a thread fills with its batches. */
export interface QuantizedTarget {
  readonly data: Uint8Array;
  readonly scales: Float32Array;
  /** Two to a byte; 4 bits only. */
  readonly zeroPoints: Uint8Array | undefined;
}

/** The functions of `node:fs` that a share uses. */
export interface FileReads {
  openSync(path: string, flags: string): number;
  readSync(file: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
  closeSync(file: number): void;
}

type QuantizeKernels = Pick<KernelExports, 'quantizeBytes' | 'quantizeNibbles'>;

/** Quantizes batches until all are taken. @throws an error of the file system, or for a file that became shorter */
export type TakeBatches = (task: QuantizeTask, target: QuantizedTarget, thread: number) => void;

/**
 * Makes a thread's part of the work. The source of this function is the program of a helper thread: it refers to
 * nothing outside itself.
 *
 * @param kernels the compiled kernels
 * @param float16 the float32 bits of each float16 code
 */
export function quantizeShare(fs: FileReads, kernels: WebAssembly.Module, float16: Uint32Array): TakeBatches {
  let memory: WebAssembly.Memory | undefined;
  let run: QuantizeKernels | undefined;
  let staged = new Uint8Array(0);

  function reserve(bytes: number): QuantizeKernels {
    if (!run || !memory || memory.buffer.byteLength < bytes) {
      const pages = Math.ceil(bytes / 65536);
      memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
      const instance = new WebAssembly.Instance(kernels, { env: { memory } });
      run = instance.exports as unknown as QuantizeKernels;
    }
    return run;
  }

  function readBytes(file: number, length: number, position: number): void {
    let done = 0;
    while (done < length) {
      const count = fs.readSync(file, staged, done, length - done, position + done);
      if (count === 0) throw new Error('the file became shorter');
      done += count;
    }
  }

  /** Writes rows of the staged bytes as float32, each padded to whole blocks; the padding stays zero. */
  function widen(
    dtype: QuantizeTask['dtype'],
    rows: number,
    columns: number,
    values: Float32Array,
    width: number,
  ) {
    const { buffer } = staged;
    if (dtype === 'F32') {
      for (let r = 0; r < rows; r++)
        values.set(new Float32Array(buffer, 4 * r * columns, columns), r * width);
      return;
    }
    const codes = new Uint16Array(buffer, 0, rows * columns);
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
    for (let r = 0; r < rows; r++) {
      const from = r * columns;
      const to = r * width;
      if (dtype === 'BF16') for (let i = 0; i < columns; i++) bits[to + i] = codes[from + i]! << 16;
      else for (let i = 0; i < columns; i++) bits[to + i] = float16[codes[from + i]!]!;
    }
  }

  return (task, { data, scales, zeroPoints }, thread) => {
    const { rows, columns, bits, block, batchRows, dtype } = task;
    const inRow = Math.ceil(columns / block);
    const width = inRow * block;
    const most = Math.min(rows, batchRows);
    const align = (bytes: number) => Math.ceil(bytes / 64) * 64;
    const valuesEnd = align(4 * most * width);
    const dataEnd = valuesEnd + align((most * width * bits) / 8);
    const scalesEnd = dataEnd + align(4 * most * inRow);
    const kernel = reserve(scalesEnd + most * inRow);
    const { buffer } = memory!;
    const values = new Float32Array(buffer, 0, most * width);
    values.fill(0);
    const rowBytes = columns * (dtype === 'F32' ? 4 : 2);
    if (staged.length < most * rowBytes) staged = new Uint8Array(most * rowBytes);
    const zeroBytes = Math.ceil((inRow * bits) / 8);
    const file = fs.openSync(task.path, 'r');
    try {
      for (;;) {
        const batch = Atomics.add(task.taken, 0, 1);
        const first = batch * batchRows;
        if (first >= rows) return;
        const count = Math.min(batchRows, rows - first);
        readBytes(file, count * rowBytes, task.offset + first * rowBytes);
        widen(dtype, count, columns, values, width);
        const blocks = count * inRow;
        if (bits === 8) kernel.quantizeBytes(0, blocks, block, valuesEnd, dataEnd);
        else kernel.quantizeNibbles(0, blocks, block, valuesEnd, dataEnd, scalesEnd);
        const numbers = (width * bits) / 8;
        data.set(new Uint8Array(buffer, valuesEnd, count * numbers), first * numbers);
        scales.set(new Float32Array(buffer, dataEnd, blocks), first * inRow);
        if (zeroPoints) {
          const points = new Uint8Array(buffer, scalesEnd, blocks);
          for (let r = 0; r < count; r++) {
            const from = r * inRow;
            const to = (first + r) * zeroBytes;
            for (let i = 0; i < zeroBytes; i++) {
              const high = 2 * i + 1 < inRow ? points[from + 2 * i + 1]! : 0;
              zeroPoints[to + i] = points[from + 2 * i]! | (high << 4);
            }
          }
        }
        Atomics.store(task.finished, batch, thread);
      }
    } finally {
      fs.closeSync(file);
    }
  };
}
