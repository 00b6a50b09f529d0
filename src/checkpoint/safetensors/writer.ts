import { RopewalkError } from '../../errors.ts';
import type { ByteSink } from '../../files/source.ts';
import { sizeOf } from '../../graph/dims.ts';
import { float32ToBfloat16, float32ToFloat16 } from '../dtypes.ts';
import { DTYPE_BITS, MAX_HEADER_BYTES, quote } from './header.ts';

/** The float dtypes that weights are written in. */
export type FloatDtype = 'F32' | 'F16' | 'BF16';

/** Float32 values, row-major, or a function that produces them when they are to be written. */
export type FloatData = Float32Array | (() => Float32Array | Promise<Float32Array>);

/** Bytes, or a function that produces them when they are to be written. */
export type ByteData = Uint8Array | (() => Uint8Array | Promise<Uint8Array>);

/** Integers: as numbers, which must be integral, or as bigints. */
export type IntegerValues = BigInt64Array | Int32Array | Uint32Array | Float64Array | readonly number[];

/** A tensor to write. Only one tensor's data is requested at a time. */
export type TensorToWrite = { readonly name: string; readonly shape: readonly number[] } & (
  | { readonly dtype: FloatDtype; readonly data: FloatData }
  /** The upper halves of float32 values, written unchanged. */
  | { readonly dtype: 'BF16'; readonly data: Uint16Array }
  | { readonly dtype: 'U8'; readonly data: ByteData }
  | {
      readonly dtype: 'I64';
      readonly data: IntegerValues | (() => IntegerValues | Promise<IntegerValues>);
    }
);

/** The type and shape of a tensor in a file. */
export interface TensorEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: TensorToWrite['dtype'];
}

const CHUNK = 1 << 19;

/**
 * Writes a safetensors file: the header first, computed from names, dtypes and shapes, then the tensors. They are
 * ordered by decreasing element size (so that each is aligned), otherwise as given; F16 and BF16 are rounded to
 * nearest even. The data starts at a multiple of 8 bytes.
 * @param metadata strings for `__metadata__`; Hugging Face's loaders expect `{format: 'pt'}`
 * @returns the file's size in bytes
 * @throws RopewalkError for a repeated or reserved name and for data whose length does not match its shape
 */
export async function writeSafetensors(
  sink: ByteSink,
  entries: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<number> {
  const ordered = inFileOrder(entries);
  const { header, size } = layOutSafetensors(ordered, metadata);
  await sink.write(header);
  for (const entry of ordered) await writeTensor(sink, entry);
  return size;
}

/** Where everything is in a file. */
export interface SafetensorsLayout {
  readonly header: Uint8Array;
  /** Where each tensor begins, from the beginning of the file. */
  readonly places: ReadonlyMap<string, number>;
  /** Bytes of the file. */
  readonly size: number;
}

/** What {@link writeSafetensors} writes, for writers that write it in another order. @throws RopewalkError like it. */
export function layOutSafetensors(
  entries: readonly TensorEntry[],
  metadata: Readonly<Record<string, string>> = {},
): SafetensorsLayout {
  const { bytes: header, dataBytes, starts } = makeHeader(inFileOrder(entries), metadata);
  const places = new Map([...starts].map(([name, start]) => [name, header.byteLength + start]));
  return { header, places, size: header.byteLength + dataBytes };
}

function inFileOrder<E extends TensorEntry>(entries: readonly E[]): E[] {
  return [...entries].sort((a, b) => DTYPE_BITS[b.dtype] - DTYPE_BITS[a.dtype]);
}

/** Bytes of a tensor's data in a file. */
export function tensorBytes(shape: readonly number[], dtype: FloatDtype | 'I64' | 'U8'): number {
  return (sizeOf(shape) * DTYPE_BITS[dtype]) / 8;
}

function makeHeader(entries: readonly TensorEntry[], metadata: Readonly<Record<string, string>>) {
  const json: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) json.push(['__metadata__', metadata]);
  const starts = new Map<string, number>();
  let at = 0;
  for (const { name, dtype, shape } of entries) {
    if (name === '__metadata__')
      throw new RopewalkError('a tensor cannot be named "__metadata__": it is reserved');
    if (starts.has(name))
      throw new RopewalkError(`tensor ${quote(name)} would be written twice into one file`);
    starts.set(name, at);
    const bytes = tensorBytes(shape, dtype);
    if (
      !shape.every((size) => Number.isSafeInteger(size) && size >= 0) ||
      !Number.isSafeInteger(at + bytes)
    ) {
      throw new RopewalkError(
        `tensor ${quote(name)}: [${shape.join(', ')}] is not a shape that can be written`,
      );
    }
    json.push([name, { dtype, shape, data_offsets: [at, at + bytes] }]);
    at += bytes;
  }
  // Written by hand, since an object would move integer-like names to the front and lose "__proto__".
  const text = `{${json.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
  const encoded = new TextEncoder().encode(text);
  const length = Math.ceil(encoded.byteLength / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new RopewalkError(`the header of ${entries.length} tensors is too long; write several files`);
  }
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(encoded, 8);
  return { bytes, dataBytes: at, starts };
}

async function writeTensor(sink: ByteSink, entry: TensorToWrite): Promise<void> {
  if (entry.dtype === 'I64') {
    const values = typeof entry.data === 'function' ? await entry.data() : entry.data;
    checkLength(entry, values.length);
    await writeIntegers(sink, entry.name, values);
    return;
  }
  if (entry.dtype === 'U8') {
    const bytes = typeof entry.data === 'function' ? await entry.data() : entry.data;
    checkLength(entry, bytes.length);
    await sink.write(bytes);
    return;
  }
  const values = typeof entry.data === 'function' ? await entry.data() : entry.data;
  checkLength(entry, values.length);
  if (entry.dtype === 'F32' || values instanceof Uint16Array) {
    await sink.write(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return;
  }
  const convert = entry.dtype === 'F16' ? float32ToFloat16 : float32ToBfloat16;
  const codes = new Uint16Array(Math.min(CHUNK, values.length));
  for (let at = 0; at < values.length; at += CHUNK) {
    const chunk = values.subarray(at, at + CHUNK);
    const out = codes.subarray(0, chunk.length);
    convert(chunk, out);
    await sink.write(new Uint8Array(out.buffer, out.byteOffset, out.byteLength));
  }
}

async function writeIntegers(sink: ByteSink, name: string, values: IntegerValues): Promise<void> {
  const words = new BigInt64Array(Math.min(CHUNK, values.length));
  for (let at = 0; at < values.length; at += CHUNK) {
    const count = Math.min(CHUNK, values.length - at);
    for (let i = 0; i < count; i++) {
      const value = values[at + i]!;
      if (typeof value === 'number' && !Number.isSafeInteger(value)) {
        throw new RopewalkError(`tensor ${quote(name)}: element ${at + i} is ${value}, not an integer`);
      }
      words[i] = BigInt(value);
    }
    await sink.write(new Uint8Array(words.buffer, 0, count * 8));
  }
}

function checkLength({ name, shape }: TensorToWrite, length: number): void {
  if (length !== sizeOf(shape)) {
    throw new RopewalkError(
      `tensor ${quote(name)} of shape [${shape.join(', ')}] needs ${sizeOf(shape)} values and got ${length}`,
    );
  }
}
