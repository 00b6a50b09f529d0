import { RopewalkError } from '../../errors.ts';
import { HEAD_BYTES, inPlaceOf } from '../../files/not-weights.ts';
import { type ByteSource, type FileStamp, readInto } from '../../files/source.ts';
import { sizeOf } from '../../graph/dims.ts';
import type { StoredRows } from '../checkpoint.ts';
import { bfloat16ToFloat32, float16ToFloat32, float64ToFloat32 } from '../dtypes.ts';
import { checkHeaderLength, parseHeader, quote, type SafetensorsHeader, type TensorEntry } from './header.ts';

export type { SafetensorsDtype, TensorEntry } from './header.ts';

/** Elements converted at a time: large enough to be fast, small compared with any tensor worth streaming. */
const CHUNK = 1 << 19;

/** Opens and checks a safetensors file; only its header is read. Closing it closes the source. */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const head = await source.read(0, Math.min(HEAD_BYTES, source.size));
  const other = inPlaceOf(head);
  if (other) throw new RopewalkError(`${source.name}: ${other}.`);
  const length = checkHeaderLength(source.name, head.subarray(0, 8), source.size);
  const header = parseHeader(source.name, await source.read(8, length), source.size);
  return new SafetensorsFile(source, header);
}

/** A checked safetensors file whose tensors are read on demand, each directly into its final memory. */
export class SafetensorsFile {
  readonly name: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly #source: ByteSource;

  constructor(source: ByteSource, header: SafetensorsHeader) {
    this.name = source.name;
    this.tensors = header.tensors;
    this.metadata = header.metadata;
    this.#source = source;
  }

  /** See `FileStamp`; undefined if it is not a file or has changed since it was opened. */
  async stamp(): Promise<FileStamp | undefined> {
    return this.#source.stamp?.();
  }

  /** The entry of a tensor. Throws a RopewalkError if there is none of that name. */
  entry(name: string): TensorEntry {
    const entry = this.tensors.get(name);
    if (!entry) throw new RopewalkError(`${this.name}: it has no tensor ${quote(name)}`);
    return entry;
  }

  /** A float tensor (F32, F16, BF16, F64) as float32, row-major. F64 is rounded to nearest. */
  async readFloat32(name: string): Promise<Float32Array> {
    const entry = this.entry(name);
    this.#checkFloat(name, entry);
    const target = this.#allocate(name, entry, (length) => new Float32Array(length));
    await this.readFloat32Into(name, target);
    return target;
  }

  /**
   * Reads a float tensor into `target`, which must have exactly its number of elements. F32 is read directly into that
   * memory; the others are converted in small chunks.
   */
  async readFloat32Into(name: string, target: Float32Array): Promise<void> {
    const entry = this.entry(name);
    this.#checkFloat(name, entry);
    const elements = sizeOf(entry.shape);
    if (target.length !== elements) {
      throw new RopewalkError(
        `${this.name}: tensor ${quote(name)} has shape [${entry.shape.join(', ')}], ${elements} elements, ` +
          `but the memory to read it into has ${target.length}`,
      );
    }
    await this.#readFloats(entry, target);
  }

  /** Reads elements of a float tensor from `start` on into `target`. */
  async readFloat32Part(name: string, start: number, target: Float32Array): Promise<void> {
    const entry = this.entry(name);
    this.#checkFloat(name, entry);
    const elements = sizeOf(entry.shape);
    if (start + target.length > elements) {
      throw new RopewalkError(
        `${this.name}: tensor ${quote(name)} has ${elements} elements, but ${target.length} from ${start} on are to be read`,
      );
    }
    const offset = entry.offset + (start * entry.byteLength) / Math.max(1, elements);
    await this.#readFloats({ ...entry, offset, shape: [target.length] }, target);
  }

  async #readFloats(entry: TensorEntry, target: Float32Array): Promise<void> {
    const elements = sizeOf(entry.shape);
    switch (entry.dtype) {
      case 'F32':
        await readInto(
          this.#source,
          entry.offset,
          new Uint8Array(target.buffer, target.byteOffset, target.byteLength),
        );
        return;
      case 'F16':
        return this.#chunked(entry, new Uint16Array(Math.min(CHUNK, elements)), (codes, at) =>
          float16ToFloat32(codes, target.subarray(at, at + codes.length)),
        );
      case 'BF16':
        return this.#chunked(entry, new Uint16Array(Math.min(CHUNK, elements)), (codes, at) =>
          bfloat16ToFloat32(codes, target.subarray(at, at + codes.length)),
        );
      default:
        return this.#chunked(entry, new Float64Array(Math.min(CHUNK, elements)), (values, at) =>
          float64ToFloat32(values, target.subarray(at, at + values.length)),
        );
    }
  }

  /**
   * An integer or BOOL tensor as numbers, row-major. Throws a RopewalkError for a 64-bit value beyond ±(2^53 − 1),
   * which a number cannot represent, and for a float tensor.
   */
  async readInts(name: string): Promise<Float64Array> {
    const entry = this.entry(name);
    const make = INTEGERS[entry.dtype];
    if (!make) {
      throw new RopewalkError(
        `${this.name}: tensor ${quote(name)} has dtype ${entry.dtype}, not an integer one`,
      );
    }
    const target = this.#allocate(name, entry, (length) => new Float64Array(length));
    await this.#chunked(entry, make(Math.min(CHUNK, target.length)), (values, at) => {
      for (let i = 0; i < values.length; i++) {
        const value = Number(values[i]);
        if (!Number.isSafeInteger(value)) {
          throw new RopewalkError(
            `${this.name}: tensor ${quote(name)}: element ${at + i} is ${values[i]}, too large to be exact`,
          );
        }
        target[at + i] = value;
      }
    });
    return target;
  }

  /** The rows of a matrix of floats; undefined for another tensor. */
  storedRows(name: string): StoredRows | undefined {
    const { dtype, shape, offset } = this.entry(name);
    if (shape.length !== 2 || !(dtype === 'F32' || dtype === 'F16' || dtype === 'BF16')) return undefined;
    return { source: this.#source, offset, type: dtype, rows: shape[0]!, columns: shape[1]! };
  }

  /** Closes the underlying file. */
  async close(): Promise<void> {
    await this.#source.close?.();
  }

  /** A tensor's raw bytes. */
  async readBytes(name: string): Promise<Uint8Array> {
    const { offset, byteLength } = this.entry(name);
    return this.#source.read(offset, byteLength);
  }

  /** Reads raw bytes of a tensor into `target`, from byte `start` of it on. */
  async readBytesInto(name: string, target: Uint8Array, start: number): Promise<void> {
    const { offset, byteLength } = this.entry(name);
    if (start + target.byteLength > byteLength) {
      throw new RopewalkError(
        `${this.name}: tensor ${quote(name)} has ${byteLength} bytes, but ${target.byteLength} from ${start} on are to be read`,
      );
    }
    await readInto(this.#source, offset + start, target);
  }

  /** The entry of a float tensor. Throws a RopewalkError for integers. */
  floatEntry(name: string): TensorEntry {
    const entry = this.entry(name);
    this.#checkFloat(name, entry);
    return entry;
  }

  #checkFloat(name: string, { dtype }: TensorEntry): void {
    if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16' || dtype === 'F64') return;
    throw new RopewalkError(
      `${this.name}: tensor ${quote(name)} has dtype ${dtype}; weights are read from F32, F16, BF16 or F64: ` +
        'convert the checkpoint to one of these',
    );
  }

  /** Allocates memory for a tensor's elements. Throws a RopewalkError if the system does not have that much. */
  #allocate<Values extends ElementArray>(
    name: string,
    { shape }: TensorEntry,
    make: (length: number) => Values,
  ): Values {
    try {
      return make(sizeOf(shape));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new RopewalkError(
        `${this.name}: tensor ${quote(name)} has shape [${shape.join(', ')}], more than this machine's memory can hold; ` +
          'use a smaller checkpoint or a machine with more memory',
        { cause: error },
      );
    }
  }

  /** Reads a tensor through `buffer`, chunk by chunk. `at` counts elements. */
  async #chunked<Values extends ElementArray>(
    entry: TensorEntry,
    buffer: Values,
    convert: (values: Values, at: number) => void,
  ): Promise<void> {
    const elements = sizeOf(entry.shape);
    for (let at = 0; at < elements; at += buffer.length) {
      const values = buffer.subarray(0, Math.min(buffer.length, elements - at)) as Values;
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      await readInto(this.#source, entry.offset + at * values.BYTES_PER_ELEMENT, bytes);
      convert(values, at);
    }
  }
}

type ElementArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

const INTEGERS: Readonly<Record<string, (length: number) => ElementArray>> = {
  BOOL: (length) => new Uint8Array(length),
  U8: (length) => new Uint8Array(length),
  I8: (length) => new Int8Array(length),
  U16: (length) => new Uint16Array(length),
  I16: (length) => new Int16Array(length),
  U32: (length) => new Uint32Array(length),
  I32: (length) => new Int32Array(length),
  U64: (length) => new BigUint64Array(length),
  I64: (length) => new BigInt64Array(length),
};
