import { RopewalkError } from '../../../errors.ts';
import type { GgufForm, GgufTransform } from '../../../families/common/gguf.ts';
import { type ByteSource, type FileStamp, readInto } from '../../../files/source.ts';
import { sizeOf } from '../../../graph/dims.ts';
import {
  copyArrays,
  newQuantizedArrays,
  type QuantizedArrays,
  type QuantizedShape,
  type QuantizedSource,
  rowsOfArrays,
} from '../../../onnx/weights.ts';
import type { BpeTables } from '../../../tokenizer/tables/bpe-tables.ts';
import type {
  Checkpoint,
  RowReader,
  RowsInFile,
  RowUnpacker,
  StoredRows,
  StoredTensor,
  TensorReader,
} from '../../checkpoint.ts';
import { quote } from '../../safetensors/header.ts';
import { fromGguf, rotaryRow, toGguf } from '../names.ts';
import { tokenizerFromGguf } from '../tokenizer/tokenizer.ts';
import { isQuantized, LAYOUTS } from './blocks.ts';
import { modelFromGguf } from './config.ts';
import { dequantize } from './dequantize.ts';
import { toQuantizedMatrix } from './matrix.ts';
import { GgufMetadata } from './metadata.ts';
import type { GgufFile, GgufTensor } from './reader.ts';

/** Bytes of a tensor that are read and decoded at a time. */
const CHUNK_BYTES = 2 << 20;

/** Opens the rows of a matrix, wherever the file's bytes are. */
export type OpenRows = (source: ByteSource, place: RowsInFile) => RowReader | Promise<RowReader>;

/** Loads the whole matrix, for a source without synchronous reads, such as a file in a page. */
const rowsInMemory: OpenRows = async (source, { offset, rows, width, rowBytes, decode }) => {
  const bytes = Uint8Array.from(await source.read(offset, rows * rowBytes));
  return {
    rows,
    width,
    read: (row, target, at) =>
      decode(bytes.slice(row * rowBytes, (row + 1) * rowBytes), target.subarray(at, at + width)),
    close() {},
  };
};

/**
 * A GGUF file presented as a Hugging Face model: its names, layouts, configuration and tokenizer.
 *
 * @param kept the tables that were made of its vocabulary before
 */
export async function openGgufCheckpoint(
  file: GgufFile,
  openRows: OpenRows = rowsInMemory,
  kept?: BpeTables,
): Promise<Checkpoint> {
  const metadata = new GgufMetadata(file);
  const embedding = file.tensors.get('token_embd.weight');
  if (!embedding) throw metadata.error('the tensor "token_embd.weight" is missing; convert the model again.');
  const tokenizer = tokenizerFromGguf(metadata, embedding.shape[0], kept);
  const warnings = [...tokenizer.warnings];
  const divisors = file.tensors.get('rope_freqs.weight');
  const { form, config } = modelFromGguf(metadata, {
    has: (name) => file.tensors.has(name),
    vocabSize: embedding.shape[0]!,
    tokenIds: tokenizer.special,
    rotaryDivisors: divisors && (await readAll(divisors)),
    warn: (warning) => warnings.push(`${file.name}: ${warning}`),
  });
  const heads = (field: string) => (config[field] as number | undefined) ?? 1;
  const tensors = new GgufTensors(file, form, heads('head_dim'), openRows);
  return {
    path: file.name,
    configName: `the metadata of ${file.name}`,
    config,
    generationConfig: { eos_token_id: tokenizer.stopIds },
    tensors,
    tokenizerFiles: async () => tokenizer.files,
    warnings,
  };
}

async function readAll(tensor: GgufTensor): Promise<Float32Array> {
  const target = new Float32Array(sizeOf(tensor.shape));
  dequantize(tensor.type, await tensor.source.read(tensor.offset, tensor.byteLength), target);
  return target;
}

class GgufTensors implements TensorReader {
  readonly #file: GgufFile;
  readonly #form: GgufForm;
  readonly #headDim: number;
  readonly #openRows: OpenRows;
  /** A reusable read buffer; used by one read at a time. */
  #spare: Uint8Array | undefined;

  constructor(file: GgufFile, form: GgufForm, headDim: number, openRows: OpenRows) {
    this.#openRows = openRows;
    this.#file = file;
    this.#form = form;
    this.#headDim = headDim;
  }

  names(): string[] {
    return [...this.#file.tensors.keys()]
      .filter((name) => name !== 'rope_freqs.weight')
      .map((name) => fromGguf(this.#form, name) ?? name);
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined || this.#missingBias(name) !== undefined;
  }

  info(name: string): StoredTensor {
    const missing = this.#missingBias(name);
    if (missing !== undefined) {
      const place = { file: this.#file.name, offset: 0, byteLength: 0 };
      return { dtype: 'F32', shape: [missing], ...place, verbatim: false };
    }
    const { tensor, transform } = this.#get(name);
    const shape = transform === 'transposed' ? [...tensor.shape].reverse() : tensor.shape;
    const { type: dtype, offset, byteLength, source } = tensor;
    const verbatim = transform === 'same' && (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16');
    return { dtype, shape, file: source.name, offset, byteLength, verbatim };
  }

  async readFloat32(name: string): Promise<Float32Array> {
    const missing = this.#missingBias(name);
    if (missing !== undefined) return new Float32Array(missing);
    const { tensor } = this.#get(name);
    const target = new Float32Array(sizeOf(tensor.shape));
    await this.readFloat32Into(name, target);
    return target;
  }

  async readFloat32Part(name: string, start: number, target: Float32Array): Promise<void> {
    target.set((await this.readFloat32(name)).subarray(start, start + target.length));
  }

  async readFloat32Into(name: string, target: Float32Array): Promise<void> {
    const missing = this.#missingBias(name);
    if (missing !== undefined) {
      this.#checkRoom(name, missing, target);
      target.fill(0);
      return;
    }
    const { tensor, transform } = this.#get(name);
    const elements = sizeOf(tensor.shape);
    this.#checkRoom(name, elements, target);
    if (tensor.shape.length === 1 && transform.startsWith('rotary')) {
      // A bias: its values are permuted like a weight's rows.
      const stored = await readAll(tensor);
      for (let i = 0; i < elements; i++) target[i] = stored[rotaryRow(i, this.#headDim)]!;
      return;
    }
    const width = tensor.shape.at(-1) ?? 1;
    const rows = elements / width;
    const rowBytes = tensor.byteLength / rows;
    const perChunk = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
    const values = new Float32Array(Math.min(rows, perChunk) * width);
    const place = this.#placeOf(transform, rows);
    for (let row = 0; row < rows; row += perChunk) {
      const count = Math.min(perChunk, rows - row);
      const bytes = await tensor.source.read(tensor.offset + row * rowBytes, count * rowBytes);
      const direct = transform === 'same' || transform === 'plus one';
      const part = direct
        ? target.subarray(row * width, (row + count) * width)
        : values.subarray(0, count * width);
      dequantize(tensor.type, bytes, part);
      if (transform === 'plus one') for (let i = 0; i < part.length; i++) part[i]! -= 1;
      if (direct) continue;
      for (let i = 0; i < count; i++) {
        if (transform === 'transposed') {
          for (let column = 0; column < width; column++)
            target[column * rows + row + i] = part[i * width + column]!;
        } else {
          target.set(part.subarray(i * width, (i + 1) * width), place(row + i) * width);
        }
      }
    }
  }

  storedRows(name: string): StoredRows | undefined {
    if (this.#missingBias(name) !== undefined) return undefined;
    const { tensor, transform } = this.#get(name);
    const { source, offset, type, shape } = tensor;
    const [rows, columns] = shape;
    if (shape.length !== 2 || transform === 'plus one') return undefined;
    const places = transform === 'rotary rows' ? this.#places(rows!) : undefined;
    // Transposed weights need no change: a product's rows are its outputs, which is the stored layout.
    return { source, offset, type, rows: rows!, columns: columns!, places };
  }

  quantizedForm(name: string, threads?: RowUnpacker): QuantizedSource | undefined {
    if (this.#missingBias(name) !== undefined) return undefined;
    const { tensor, transform } = this.#get(name);
    const [rows, columns] = tensor.shape;
    if (
      !isQuantized(tensor.type) ||
      tensor.shape.length !== 2 ||
      rows === undefined ||
      columns === undefined
    ) {
      return undefined;
    }
    const { bits, group: block, hasOffsets } = LAYOUTS[tensor.type];
    const shape = { rows, columns, bits: bits as 4 | 8, block, hasOffsets };
    const read = async (into = newQuantizedArrays(shape)) => {
      const done = await threads?.unpack(this.storedRows(name)!, shape, into);
      if (!done) await this.#unpackInto(tensor, transform, shape, into);
      return { rows, columns, bits: shape.bits, block, ...into };
    };
    return { ...shape, read };
  }

  /** Unpacks a matrix piece by piece: the stored layout, `[out, in]`, is that of products. */
  async #unpackInto(
    { type, source, offset, byteLength }: GgufTensor,
    transform: GgufTransform,
    shape: QuantizedShape & { readonly hasOffsets: boolean },
    into: QuantizedArrays,
  ): Promise<void> {
    const { rows, columns } = shape;
    const rowBytes = byteLength / rows;
    const perChunk = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
    const moves = transform.startsWith('rotary');
    const place = this.#placeOf(transform, rows);
    const size = Math.min(rows, perChunk) * rowBytes;
    // A fresh buffer per matrix would have to be touched for the first time again, which costs as much as unpacking.
    const buffer = this.#spare && this.#spare.byteLength >= size ? this.#spare : new Uint8Array(size);
    this.#spare = undefined;
    for (let row = 0; row < rows; row += perChunk) {
      const count = Math.min(perChunk, rows - row);
      const bytes = buffer.subarray(0, count * rowBytes);
      await readInto(source, offset + row * rowBytes, bytes);
      if (!moves) {
        toQuantizedMatrix(type, bytes, count, columns, rowsOfArrays(shape, into, row, count));
        continue;
      }
      // Quantized rows are moved as a whole.
      const { matrix } = toQuantizedMatrix(type, bytes, count, columns);
      for (let i = 0; i < count; i++) {
        copyArrays(rowsOfArrays(matrix, matrix, i, 1), rowsOfArrays(shape, into, place(row + i), 1));
      }
    }
    this.#spare = buffer;
  }

  async openRows(name: string): Promise<RowReader> {
    const { tensor, transform } = this.#get(name);
    const [rows, width] = tensor.shape;
    if (
      rows === undefined ||
      width === undefined ||
      tensor.shape.length !== 2 ||
      transform === 'transposed'
    ) {
      throw new RopewalkError(
        `${this.#file.name}: the rows of tensor ${quote(name)} cannot be read individually.`,
      );
    }
    const { type, offset, byteLength, source } = tensor;
    const rowBytes = byteLength / rows;
    const reader = await this.#openRows(source, {
      path: source.name,
      name: source.name,
      offset,
      rows,
      width,
      rowBytes,
      decode: (bytes, target) => dequantize(type, bytes, target),
    });
    if (!transform.startsWith('rotary')) return reader;
    const stored = (row: number) => rotaryRow(row, this.#headDim);
    return {
      rows,
      width,
      read: (row, target, at) => reader.read(stored(row), target, at),
      close: () => reader.close(),
    };
  }

  async stamps(): Promise<FileStamp[] | undefined> {
    return this.#file.stamps?.();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** The target of a stored row. */
  #placeOf(transform: GgufTransform, rows: number): (stored: number) => number {
    if (!transform.startsWith('rotary')) return (stored) => stored;
    const places = this.#places(rows);
    return (stored) => places[stored]!;
  }

  /** The targets of stored rows that are interleaved. */
  #places(rows: number): Uint32Array {
    const places = new Uint32Array(rows);
    for (let row = 0; row < rows; row++) places[rotaryRow(row, this.#headDim)] = row;
    return places;
  }

  #checkRoom(name: string, elements: number, target: Float32Array): void {
    if (target.length === elements) return;
    throw new RopewalkError(
      `${this.#file.name}: tensor ${quote(name)} has ${elements} values, but the memory for it has ${target.length}.`,
    );
  }

  /**
   * The length of a bias that the file lacks although it has the weight: each bias is optional in the format, but a
   * model's configuration only has all or none.
   */
  #missingBias(name: string): number | undefined {
    if (!this.#form.optionalBiases || !name.endsWith('.bias') || this.#find(name)) return undefined;
    if (!toGguf(this.#form, name)) return undefined;
    return this.#find(`${name.slice(0, -'.bias'.length)}.weight`)?.tensor.shape[0];
  }

  #find(name: string): { tensor: GgufTensor; transform: GgufTransform } | undefined {
    const found = toGguf(this.#form, name);
    const tensor = found && this.#file.tensors.get(found.name);
    return tensor && { tensor, transform: found.transform };
  }

  #get(name: string): { tensor: GgufTensor; transform: GgufTransform } {
    const found = this.#find(name);
    if (found) return found;
    const other = this.#file.tensors.get(name);
    if (other) return { tensor: other, transform: 'same' };
    throw new RopewalkError(`${this.#file.name}: it has no tensor for ${quote(name)}.`);
  }
}
