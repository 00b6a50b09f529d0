import { RopewalkError } from '../../errors.ts';
import { FileSource } from '../../files/file.node.ts';
import type { FileStamp } from '../../files/source.ts';
import { dequantizeMatrix } from '../../onnx/quantize.ts';
import type { QuantizedSource } from '../../onnx/weights.ts';
import type { RowReader, StoredRows, StoredTensor, TensorReader } from '../checkpoint.ts';
import { bfloat16ToFloat32, float16ToFloat32, float64ToFloat32 } from '../dtypes.ts';
import { FileRows } from '../rows.node.ts';
import { quote } from './header.ts';
import {
  QUANTIZED_KEY,
  type QuantizedEntry,
  quantizedRowBytes,
  quantizedSourceOf,
  readQuantizedEntries,
  unpackRows,
} from './quantized-rows.ts';
import { openSafetensors, type SafetensorsFile } from './safetensors-file.ts';

/** Bytes per value and the conversion to float32, by dtype. */
const FLOATS: Readonly<
  Record<string, { bytes: number; decode: (bytes: Uint8Array, target: Float32Array) => void }>
> = {
  F32: { bytes: 4, decode: (bytes, target) => target.set(new Float32Array(bytes.buffer)) },
  F16: { bytes: 2, decode: (bytes, target) => float16ToFloat32(new Uint16Array(bytes.buffer), target) },
  BF16: { bytes: 2, decode: (bytes, target) => bfloat16ToFloat32(new Uint16Array(bytes.buffer), target) },
  F64: { bytes: 8, decode: (bytes, target) => float64ToFloat32(new Float64Array(bytes.buffer), target) },
};

/** The tensors of one or more safetensors files, read on demand. */
export class TensorStore implements TensorReader {
  readonly #files: readonly SafetensorsFile[];
  /** The file to open, by the path shown in messages. */
  readonly #real = new Map<string, string>();
  readonly #where = new Map<string, SafetensorsFile>();
  /** Quantized weights in our saved form. */
  readonly #quantized = new Map<string, QuantizedEntry>();

  private constructor(files: readonly SafetensorsFile[]) {
    this.#files = files;
  }

  /**
   * Opens files and checks their headers.
   * @param shards `path` names a file in messages and in `info`; `real` is the file to open, the same by default
   * @param index the file of each tensor (by `path`); without it, all tensors of all files
   */
  static async openFiles(
    shards: readonly { readonly path: string; readonly real?: string }[],
    index?: { readonly path: string; readonly files: ReadonlyMap<string, string> },
  ): Promise<TensorStore> {
    const files: SafetensorsFile[] = [];
    const store = new TensorStore(files);
    try {
      const byPath = new Map<string, SafetensorsFile>();
      for (const { path, real } of shards) {
        const source = await FileSource.open(real ?? path, path);
        try {
          const file = await openSafetensors(source);
          files.push(file);
          byPath.set(path, file);
          store.#real.set(path, real ?? path);
        } catch (error) {
          await source.close();
          throw error;
        }
      }
      if (index) store.#fillFrom(index.path, index.files, byPath);
      else store.#fillAll();
      store.#findQuantized();
    } catch (error) {
      await store.close();
      throw error;
    }
    return store;
  }

  #fillFrom(
    indexPath: string,
    map: ReadonlyMap<string, string>,
    files: ReadonlyMap<string, SafetensorsFile>,
  ): void {
    for (const [name, path] of map) {
      const file = files.get(path);
      if (!file?.tensors.has(name)) {
        throw new RopewalkError(
          `${indexPath}: tensor ${quote(name)} is listed in ${path} but is not there; the index belongs to other files: get a matching set`,
        );
      }
      this.#where.set(name, file);
    }
  }

  #fillAll(): void {
    for (const file of this.#files) {
      for (const name of file.tensors.keys()) {
        const other = this.#where.get(name);
        if (other) {
          throw new RopewalkError(`tensor ${quote(name)} is both in ${other.name} and in ${file.name}`);
        }
        this.#where.set(name, file);
      }
    }
  }

  names(): string[] {
    return [...this.#where.keys()];
  }

  has(name: string): boolean {
    return this.#where.has(name);
  }

  /** Dtype, shape and location of a tensor. Throws a RopewalkError if there is none of that name. */
  info(name: string): StoredTensor {
    const file = this.#file(name);
    const entry = { ...file.entry(name), file: file.name };
    const quantized = this.#quantized.get(name);
    if (!quantized) return { ...entry, verbatim: true };
    const stored = [entry.shape[0]!, quantized.columns];
    const shape = quantized.transposed ? stored.reverse() : stored;
    return { ...entry, dtype: `int${quantized.bits}`, shape, verbatim: false };
  }

  /** A float tensor as float32, row-major; F16, BF16 and F64 are converted. */
  async readFloat32(name: string): Promise<Float32Array> {
    const quantized = this.quantizedForm(name);
    if (!quantized) return this.#file(name).readFloat32(name);
    const values = dequantizeMatrix(await quantized.read());
    return this.#quantized.get(name)?.transposed ? transpose(values, quantized.columns) : values;
  }

  quantizedForm(name: string): QuantizedSource | undefined {
    const entry = this.#quantized.get(name);
    const file = this.#file(name);
    return entry && quantizedSourceOf(file.entry(name).shape[0]!, entry, () => file.readBytes(name));
  }

  storedRows(name: string): StoredRows | undefined {
    return this.#quantized.has(name) ? undefined : this.#file(name).storedRows(name);
  }

  /** Reads a float tensor into `target`, which must have exactly its number of elements. */
  async readFloat32Into(name: string, target: Float32Array): Promise<void> {
    if (this.#quantized.has(name)) target.set(await this.readFloat32(name));
    else await this.#file(name).readFloat32Into(name, target);
  }

  async readFloat32Part(name: string, start: number, target: Float32Array): Promise<void> {
    if (this.#quantized.has(name)) {
      target.set((await this.readFloat32(name)).subarray(start, start + target.length));
    } else await this.#file(name).readFloat32Part(name, start, target);
  }

  /** An integer or BOOL tensor as exact numbers. */
  readInts(name: string): Promise<Float64Array> {
    return this.#file(name).readInts(name);
  }

  /** Rows of a float matrix, read on demand. */
  async openRows(name: string): Promise<RowReader> {
    const quantized = this.#quantized.get(name);
    if (quantized && !quantized.transposed) return this.#openQuantizedRows(name, quantized);
    const { dtype, shape, offset } = this.#file(name).floatEntry(name);
    const file = this.#file(name).name;
    const float = FLOATS[dtype];
    const [rows, width] = shape;
    if (!float || rows === undefined || width === undefined || shape.length !== 2) {
      throw new RopewalkError(
        `${file}: tensor ${quote(name)} is not a matrix of floats, so its rows cannot be read`,
      );
    }
    const rowBytes = width * float.bytes;
    const path = this.#real.get(file) ?? file;
    return new FileRows({ path, name: file, offset, rows, width, rowBytes, decode: float.decode });
  }

  #openQuantizedRows(name: string, entry: QuantizedEntry): RowReader {
    const file = this.#file(name);
    const { offset, shape } = file.entry(name);
    const [rows, rowBytes] = shape as [number, number];
    const path = this.#real.get(file.name) ?? file.name;
    const decode = (bytes: Uint8Array, target: Float32Array) =>
      target.set(dequantizeMatrix(unpackRows(bytes, 1, entry)));
    return new FileRows({ path, name: file.name, offset, rows, width: entry.columns, rowBytes, decode });
  }

  #findQuantized(): void {
    for (const file of this.#files) {
      const text = file.metadata[QUANTIZED_KEY];
      if (text === undefined) continue;
      for (const [name, entry] of readQuantizedEntries(text, file.name)) {
        if (!file.tensors.has(name)) continue;
        const { dtype, shape } = file.entry(name);
        const rows = shape[0] ?? 0;
        const rowBytes = quantizedRowBytes({ rows, ...entry }, entry.zeroPoints);
        if (dtype !== 'U8' || shape.length !== 2 || shape[1] !== rowBytes) {
          throw new RopewalkError(
            `${file.name}: tensor ${quote(name)} is ${dtype} [${shape.join(', ')}], but rows of ${entry.columns} numbers in ${entry.bits} bits take ${rowBytes} bytes; quantize the model again.`,
          );
        }
        this.#quantized.set(name, entry);
      }
    }
  }

  async stamps(): Promise<FileStamp[] | undefined> {
    const stamps = await Promise.all(this.#files.map((file) => file.stamp()));
    return stamps.every((stamp) => stamp !== undefined) ? stamps : undefined;
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file.close();
  }

  #file(name: string): SafetensorsFile {
    const file = this.#where.get(name);
    if (!file) {
      const where = this.#files.map(({ name }) => name).join(', ');
      throw new RopewalkError(`there is no tensor ${quote(name)} in ${where || 'the checkpoint'}`);
    }
    return file;
  }
}

/** `[rows, columns]` → `[columns, rows]` */
function transpose(values: Float32Array, columns: number): Float32Array {
  const rows = values.length / columns;
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++)
      result[column * rows + row] = values[row * columns + column]!;
  }
  return result;
}
