import type { KernelExports } from '../../kernels/kernel-module.ts';
import type { BlockType } from '../../kernels/unpack-kernels.ts';

/** Rows of a matrix in a file, for several threads. Everything in it can be sent to a thread. */
export interface RowTask {
  /** Descriptor of the open file. */
  readonly file: number;
  /** Where the rows begin in the file. */
  readonly offset: number;
  readonly stored: 'F32' | 'F16' | 'BF16' | BlockType;
  readonly rows: number;
  readonly columns: number;
  /** How rows are quantized; without it, the codes of a `BlockType` are kept. */
  readonly form: { readonly bits: 4 | 8; readonly block: number } | undefined;
  /** The row of the matrix that each stored row is; by default the same. */
  readonly places: Uint32Array | undefined;
  /** Rows of a batch; the last may have fewer. */
  readonly batchRows: number;
  /** On shared memory: the number of batches that have been taken. */
  readonly taken: Int32Array;
  /** On shared memory, one per batch: the thread that has finished it; 0 until then. */
  readonly finished: Uint8Array;
}

/** Arrays of a quantized matrix that a thread fills with its batches. */
export interface RowTarget {
  readonly data: Uint8Array;
  readonly scales: Float32Array;
  /** Two to a byte, for numbers quantized to 4 bits. */
  readonly zeroPoints?: Uint8Array | undefined;
  /** For kept codes of a type with offsets. */
  readonly offsets?: Float32Array | undefined;
}

/** The function of `node:fs` that a share uses. */
export interface FileReads {
  readSync(file: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
}

/** Reads rows until all batches are taken. @throws an error of the file system, or for a file that became shorter */
export type TakeBatches = (task: RowTask, target: RowTarget, thread: number) => void;

/**
 * Makes a thread's part of the work: it reads batches of rows, straight into the memory of the kernels, and unpacks or
 * quantizes them. The source of this function is the program of a helper thread: it refers to nothing outside itself.
 *
 * @param kernels the compiled kernels
 */
export function rowShare(fs: FileReads, kernels: WebAssembly.Module): TakeBatches {
  let buffer: ArrayBuffer = new ArrayBuffer(0);
  let run: KernelExports;

  function reserve(bytes: number): void {
    if (buffer.byteLength >= bytes) return;
    const pages = Math.ceil(bytes / 65536);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    run = new WebAssembly.Instance(kernels, { env: { memory } }).exports as unknown as KernelExports;
    buffer = memory.buffer;
  }

  function readBytes(file: number, bytes: Uint8Array, at: number, length: number, position: number): void {
    let done = 0;
    while (done < length) {
      const count = fs.readSync(file, bytes, at + done, length - done, position + done);
      if (count === 0) throw new Error('the file became shorter');
      done += count;
    }
  }

  /** Copies rows of so many elements to their places in a target. */
  function put(
    from: Uint8Array | Float32Array,
    width: number,
    target: Uint8Array | Float32Array,
    first: number,
    places: Uint32Array | undefined,
  ): void {
    if (!places) {
      target.set(from, first * width);
      return;
    }
    const count = from.length / width;
    for (let r = 0; r < count; r++)
      target.set(from.subarray(r * width, (r + 1) * width), places[first + r]! * width);
  }

  return (task, target, thread) => {
    const { rows, columns, form, batchRows, stored, places } = task;
    const blocks = typeof stored === 'string' ? undefined : stored;
    const group = blocks ? blocks.size / blocks.groups : 1;
    const groupsInRow = columns / group;
    const inRow = form ? Math.ceil(columns / form.block) : groupsInRow;
    const width = form ? inRow * form.block : columns;
    const bits = form ? form.bits : blocks!.bits;
    const most = Math.min(rows, batchRows);
    const rowBytes = blocks ? (columns / blocks.size) * blocks.bytes : columns * (stored === 'F32' ? 4 : 2);

    // Areas of the kernels' memory.
    let end = 0;
    const area = (bytes: number): number => {
      const at = end;
      end = Math.ceil((end + bytes) / 64) * 64;
      return at;
    };
    const values = area(form ? 4 * most * width : 0);
    // Whole rows of float32 need no step of their own.
    const from = stored === 'F32' && width === columns ? values : area(most * rowBytes);
    const codes = area(blocks && form ? most * columns : 0);
    const codeScales = area(blocks && form ? 4 * most * groupsInRow : 0);
    const codeOffsets = area(blocks && form ? 4 * most * groupsInRow : 0);
    const data = area((most * width * bits) / 8);
    const scales = area(4 * most * inRow);
    const zeroPoints = area(form ? most * inRow : 0);
    const offsets = area(form ? 0 : 4 * most * inRow);
    const zeroBytes = Math.ceil(inRow / 2);
    const packed = area(target.zeroPoints ? most * zeroBytes : 0);
    reserve(end);
    const bytes = new Uint8Array(buffer);
    const floats = new Float32Array(buffer);

    /** Writes the float32 values of stored rows, each padded to whole blocks. */
    const widen = (count: number): void => {
      if (width !== columns) bytes.fill(0, values, values + 4 * count * width);
      if (blocks) {
        run[blocks.kernel](
          from,
          (count * columns) / blocks.size,
          codes,
          codeScales,
          codeOffsets,
          // Offsets are kept as they are.
          0,
        );
      }
      const rowsAtOnce = width === columns ? count : 1;
      for (let r = 0; r < count; r += rowsAtOnce) {
        const to = values + 4 * r * width;
        const n = rowsAtOnce * columns;
        if (stored === 'F32') {
          if (from !== values) bytes.copyWithin(to, from + r * rowBytes, from + (r + 1) * rowBytes);
        } else if (stored === 'F16') run.widenFloat16(from + r * rowBytes, n, to);
        else if (stored === 'BF16') run.widenBfloat16(from + r * rowBytes, n, to);
        else {
          const first = r * groupsInRow;
          const at = codes + (first * group * stored.bits) / 8;
          const by = codeScales + 4 * first;
          const plus = stored.hasOffsets ? codeOffsets + 4 * first : 0;
          if (stored.bits === 8) run.dequantizeBytes(at, by, plus, n / group, group, 128, to);
          else run.dequantizeNibbles(at, by, plus, n / group, stored.hasOffsets ? 0 : 8, to);
        }
      }
    };

    const convert = (count: number): void => {
      if (!form) {
        // The engine's zero is the middle code, 8.
        run[blocks!.kernel](from, (count * columns) / blocks!.size, data, scales, offsets, 8);
        return;
      }
      widen(count);
      const n = count * inRow;
      if (bits === 8) run.quantizeBytes(values, n, form.block, data, scales);
      else run.quantizeNibbles(values, n, form.block, data, scales, zeroPoints);
      if (!target.zeroPoints) return;
      for (let r = 0; r < count; r++) {
        const row = zeroPoints + r * inRow;
        for (let i = 0; i < zeroBytes; i++) {
          const high = 2 * i + 1 < inRow ? bytes[row + 2 * i + 1]! : 0;
          bytes[packed + r * zeroBytes + i] = bytes[row + 2 * i]! | (high << 4);
        }
      }
    };

    for (;;) {
      const batch = Atomics.add(task.taken, 0, 1);
      const first = batch * batchRows;
      if (first >= rows) return;
      const count = Math.min(batchRows, rows - first);
      readBytes(task.file, bytes, from, count * rowBytes, task.offset + first * rowBytes);
      convert(count);
      const write = (view: Uint8Array | Float32Array, at: number, perRow: number, to: typeof view) =>
        put(view.subarray(at, at + count * perRow), perRow, to, first, places);
      write(bytes, data, (width * bits) / 8, target.data);
      write(floats, scales / 4, inRow, target.scales);
      if (target.zeroPoints) write(bytes, packed, zeroBytes, target.zeroPoints);
      if (target.offsets) write(floats, offsets / 4, inRow, target.offsets);
      Atomics.store(task.finished, batch, thread);
    }
  };
}
