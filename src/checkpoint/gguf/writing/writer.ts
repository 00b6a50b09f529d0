import { RopewalkError } from '../../../errors.ts';
import type { ByteSink } from '../../../files/source.ts';
import { sizeOf } from '../../../graph/dims.ts';
import { quote } from '../../safetensors/header.ts';
import {
  ALIGNMENT_KEY,
  alignUp,
  DEFAULT_ALIGNMENT,
  GGML_TYPES,
  type GgufValue,
  type GgufValueType,
  MAGIC,
  MAX_DIMS,
  MAX_NAME_BYTES,
  type WritableGgmlType,
} from '../types.ts';
import { HeaderBytes, hasUtf8 } from './encode.ts';
import { quantize } from './quantize.ts';

const VERSION = 3;
/** Values quantized at a time: whole blocks of every type, and small compared with any tensor worth streaming. */
const CHUNK = 1 << 19;
/** The specification's limit for keys. */
const MAX_KEY_BYTES = 0xffff;
const MAX_ALIGNMENT = 1 << 16;

/** A tensor to write. */
export interface GgufTensorToWrite {
  /** At most 63 bytes in UTF-8: ggml refuses longer names. */
  readonly name: string;
  /** Row-major, outermost first; one to four sizes of at least 1. */
  readonly shape: readonly number[];
  /** The stored type; for Q8_0 and Q4_0 the last size must be a multiple of 32. */
  readonly type: WritableGgmlType;
  /** Its values, row-major; called when they are to be written. */
  readonly read: () => Promise<Float32Array>;
}

/** The contents of a GGUF file, in order; `general.architecture` should be the first entry. */
export interface GgufToWrite {
  /** Key, type and value. The alignment's entry is added if it is not the default. */
  readonly metadata: readonly (readonly [string, GgufValueType, GgufValue])[];
  readonly tensors: readonly GgufTensorToWrite[];
  /** The alignment of tensors: a power of two in bytes, from 8 to 65,536; by default 32. */
  readonly alignment?: number;
}

/**
 * Writes a GGUF file of version 3, little-endian: the header, then the tensors in order, each padded to the alignment.
 * Only one tensor is in memory at a time.
 * @throws RopewalkError for what the format or ggml's reader cannot represent, before anything is written; and for a
 *   tensor whose data does not match its shape or type, when it is written
 */
export async function writeGguf(sink: ByteSink, model: GgufToWrite): Promise<void> {
  const alignment = model.alignment ?? DEFAULT_ALIGNMENT;
  await sink.write(makeHeader(model, alignment));
  const padding = new Uint8Array(alignment);
  for (const tensor of model.tensors) {
    const size = await writeTensor(sink, tensor);
    const rest = alignUp(size, alignment) - size;
    if (rest > 0) await sink.write(padding.subarray(0, rest));
  }
}

/** Bytes that a tensor takes in a file, without padding. */
export function ggufTensorBytes(shape: readonly number[], type: WritableGgmlType): number {
  const { block, bytes } = GGML_TYPES[type];
  return (sizeOf(shape) / block) * bytes;
}

/** The type of a tensor in an exported model: everything except the embedding and matrices of products is float32. */
export function ggufTypeOf(
  name: string,
  shape: readonly number[],
  wanted: WritableGgmlType,
): WritableGgmlType {
  if (shape.length < 2 || name === 'position_embd.weight') return 'F32';
  return shape.at(-1)! % GGML_TYPES[wanted].block === 0 ? wanted : 'F16';
}

function makeHeader({ metadata, tensors }: GgufToWrite, alignment: number): Uint8Array {
  if (!Number.isInteger(Math.log2(alignment)) || alignment < 8 || alignment > MAX_ALIGNMENT) {
    throw new RopewalkError(`an alignment of ${alignment} is not a power of two from 8 to ${MAX_ALIGNMENT}`);
  }
  const given = metadata.find(([key]) => key === ALIGNMENT_KEY);
  if (given && (given[1] !== 'u32' || given[2] !== alignment)) {
    throw new RopewalkError(
      `metadata ${quote(ALIGNMENT_KEY)} must be the alignment written, ${alignment}, as u32`,
    );
  }
  const entries: readonly (readonly [string, GgufValueType, GgufValue])[] =
    given || alignment === DEFAULT_ALIGNMENT ? metadata : [...metadata, [ALIGNMENT_KEY, 'u32', alignment]];
  const header = new HeaderBytes();
  header.u32(MAGIC);
  header.u32(VERSION);
  header.u64(tensors.length);
  header.u64(entries.length);
  const keys = new Set<string>();
  for (const [key, type, value] of entries) {
    if (keys.has(key)) throw new RopewalkError(`metadata ${quote(key)} would be written twice`);
    keys.add(key);
    if (key === '' || !hasUtf8(key) || header.string(key) > MAX_KEY_BYTES) {
      throw new RopewalkError(`${quote(key)} is not a metadata key: it is empty, too long or not text`);
    }
    header.value(key, type, value);
  }
  writeInfos(header, tensors, alignment);
  header.zeros(alignUp(header.size, alignment) - header.size);
  return header.bytes();
}

function writeInfos(header: HeaderBytes, tensors: readonly GgufTensorToWrite[], alignment: number): void {
  const names = new Set<string>();
  let offset = 0;
  for (const { name, shape, type } of tensors) {
    if (names.has(name))
      throw new RopewalkError(`tensor ${quote(name)} would be written twice into one file`);
    names.add(name);
    if (!hasUtf8(name) || header.string(name) > MAX_NAME_BYTES) {
      throw new RopewalkError(
        `tensor ${quote(name)}: a GGUF name has at most ${MAX_NAME_BYTES} bytes of text`,
      );
    }
    const bytes = ggufTensorBytes(shape, type);
    if (
      shape.length < 1 ||
      shape.length > MAX_DIMS ||
      !shape.every((size) => Number.isSafeInteger(size) && size > 0) ||
      !Number.isSafeInteger(alignUp(offset + bytes, alignment))
    ) {
      throw new RopewalkError(
        `tensor ${quote(name)}: [${shape.join(', ')}] is not a shape that GGUF can hold: one to four sizes from 1 on`,
      );
    }
    const { id, block } = GGML_TYPES[type];
    if (shape.at(-1)! % block !== 0) {
      throw new RopewalkError(
        `tensor ${quote(name)}: its rows of ${shape.at(-1)} are not a multiple of the block size ${block} of ${type}; write F16`,
      );
    }
    header.u32(shape.length);
    for (const size of shape.toReversed()) header.u64(size);
    header.u32(id);
    header.u64(offset);
    offset = alignUp(offset + bytes, alignment);
  }
}

/** @returns the bytes written */
async function writeTensor(sink: ByteSink, { name, shape, type, read }: GgufTensorToWrite): Promise<number> {
  const values = await read();
  if (values.length !== sizeOf(shape)) {
    throw new RopewalkError(
      `tensor ${quote(name)} of shape [${shape.join(', ')}] needs ${sizeOf(shape)} values and got ${values.length}`,
    );
  }
  let size = 0;
  for (let at = 0; at < values.length; at += CHUNK) {
    const bytes = quantizeNamed(name, type, values.subarray(at, at + CHUNK));
    await sink.write(bytes);
    size += bytes.byteLength;
  }
  return size;
}

function quantizeNamed(name: string, type: WritableGgmlType, values: Float32Array): Uint8Array {
  try {
    return quantize(type, values);
  } catch (error) {
    if (error instanceof RopewalkError) throw new RopewalkError(`tensor ${quote(name)}: ${error.message}`);
    throw error;
  }
}
