import { RopewalkError } from '../../../errors.ts';
import { HEAD_BYTES, inPlaceOf } from '../../../files/not-weights.ts';
import { DAMAGED, INCOMPLETE } from '../../../files/remedies.ts';
import type { ByteSource } from '../../../files/source.ts';
import { sizeOf } from '../../../graph/dims.ts';
import { quote } from '../../safetensors/header.ts';
import type { StoredValue } from '../texts.ts';
import {
  ALIGNMENT_KEY,
  alignUp,
  DEFAULT_ALIGNMENT,
  describeTypeId,
  GGML_TYPES,
  type GgmlType,
  ggmlTypeOf,
  MAGIC,
  MAX_DIMS,
  SCALAR_TYPES,
} from '../types.ts';
import { HeaderCursor } from './cursor.ts';
import { StoredValues } from './stored-values.ts';
import { readValue, ValueLimits } from './values.ts';

/** A tensor's checked location and type. */
interface TensorInfo {
  readonly name: string;
  readonly type: GgmlType;
  /** Row-major, outermost first. */
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: StoredValues;
  readonly tensors: readonly TensorInfo[];
}

/**
 * The smallest size of a metadata entry (empty key, type, one byte) and of a tensor's entry (no name, no dimensions).
 */
const LEAST_ENTRY = 8 + 4 + 1;
const LEAST_INFO = 8 + 4 + 4 + 8;

const REQUANTIZE =
  'use another variant of the model (F16, BF16, Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0 …), or convert it with llama-quantize';

/**
 * Reads and checks a GGUF header (specification: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Every
 * count, length and offset is checked against the file's size before anything is allocated for it.
 * @throws RopewalkError naming the file, the key or tensor, what is wrong and the remedy
 */
export async function readHeader(source: ByteSource): Promise<GgufHeader> {
  const cursor = new HeaderCursor(source);
  const version = await readVersion(source, cursor);
  const tensorCount = await cursor.u64();
  const entryCount = await cursor.u64();
  if (entryCount * LEAST_ENTRY + tensorCount * LEAST_INFO > cursor.remaining) {
    throw cursor.damaged(
      `${entryCount} metadata entries and ${tensorCount} tensors do not fit into ${cursor.remaining} bytes`,
    );
  }
  const { metadata, alignment } = await readMetadata(cursor, entryCount);
  const infos: RawInfo[] = [];
  const names = new Set<string>();
  for (let i = 0; i < tensorCount; i++) {
    const info = await readTensorInfo(source, cursor, i);
    if (names.has(info.name)) throw cursor.damaged('there are two tensors of this name');
    names.add(info.name);
    infos.push(info);
  }
  const dataStart = alignUp(cursor.position, alignment);
  const tensors = infos.map((info) => placeTensor(source, info, dataStart, alignment));
  checkOverlaps(source, tensors);
  return { version, metadata, tensors };
}

async function readVersion(source: ByteSource, cursor: HeaderCursor): Promise<number> {
  const refuse = (what: string) => new RopewalkError(`${source.name}: ${what}`);
  if (source.size < 24) {
    throw refuse(`it has ${source.size} bytes, too few for a GGUF file; ${INCOMPLETE}`);
  }
  const magic = await cursor.u32();
  if (magic !== MAGIC) {
    const other = inPlaceOf(await source.read(0, Math.min(HEAD_BYTES, source.size)));
    if (other) throw refuse(other);
    throw refuse("it does not start with 'GGUF': it is not a GGUF file; name a .gguf file");
  }
  const version = await cursor.u32();
  if (version !== 0 && version % 0x10000 === 0) {
    throw refuse(
      'a big-endian GGUF file is not supported; convert it to little-endian (gguf-convert-endian)',
    );
  }
  if (version === 1) {
    throw refuse(
      'GGUF version 1 is not supported; convert the model again with a newer llama.cpp (version 3)',
    );
  }
  if (version !== 2 && version !== 3) {
    throw refuse(`GGUF version ${version} is not supported, only 2 and 3; use a version 3 file`);
  }
  return version;
}

async function readMetadata(cursor: HeaderCursor, count: number) {
  const metadata = new Map<string, StoredValue>();
  const limits = new ValueLimits();
  let alignment = DEFAULT_ALIGNMENT;
  for (let i = 0; i < count; i++) {
    cursor.what = `metadata entry ${i}`;
    const key = await cursor.string();
    cursor.what = `metadata ${quote(key)}`;
    if (metadata.has(key)) throw cursor.damaged('the key appears twice');
    const type = await cursor.u32();
    const value = await readValue(cursor, type, limits);
    if (key === ALIGNMENT_KEY) {
      alignment = value as number;
      if (type !== SCALAR_TYPES.u32.id || alignment === 0 || (alignment & (alignment - 1)) !== 0) {
        throw cursor.damaged('it must be a power of two, of type u32');
      }
    }
    metadata.set(key, value);
  }
  return { metadata: new StoredValues(metadata), alignment };
}

/** A tensor's entry whose type and size are not yet checked. */
interface RawInfo {
  readonly name: string;
  readonly type: GgmlType;
  readonly shape: readonly number[];
  /** From the start of the data. */
  readonly offset: number;
}

async function readTensorInfo(source: ByteSource, cursor: HeaderCursor, index: number): Promise<RawInfo> {
  cursor.what = `tensor ${index}`;
  const name = await cursor.string();
  cursor.what = `tensor ${quote(name)}`;
  const dims = await cursor.u32();
  if (dims > MAX_DIMS) throw cursor.damaged(`it has ${dims} dimensions, more than ${MAX_DIMS}`);
  const shape: number[] = [];
  // ggml lists the innermost dimension first.
  for (let i = 0; i < dims; i++) shape.unshift(await cursor.u64());
  const id = await cursor.u32();
  const type = ggmlTypeOf(id);
  if (!type) {
    throw new RopewalkError(
      `${source.name}: ${cursor.what}: type ${describeTypeId(id)} is not one of ${Object.keys(GGML_TYPES).join(', ')}; ` +
        REQUANTIZE,
    );
  }
  return { name, type, shape, offset: await cursor.u64() };
}

function placeTensor(source: ByteSource, info: RawInfo, dataStart: number, alignment: number): TensorInfo {
  const { name, type, shape } = info;
  const wrong = (what: string, remedy: string = DAMAGED) =>
    new RopewalkError(`${source.name}: tensor ${quote(name)}: ${what}; ${remedy}`);
  const { block, bytes } = GGML_TYPES[type];
  const elements = sizeOf(shape);
  const byteLength = (elements / block) * bytes;
  if (!Number.isSafeInteger(elements * bytes) || !shape.every(Number.isSafeInteger)) {
    throw wrong(`shape [${shape.join(', ')}] has too many elements`);
  }
  if ((shape.at(-1) ?? 1) % block !== 0) {
    throw wrong(`its rows of ${shape.at(-1) ?? 1} are not a multiple of the block size ${block} of ${type}`);
  }
  if (info.offset % alignment !== 0) {
    throw wrong(`its offset ${info.offset} is not a multiple of the alignment, ${alignment}`);
  }
  const offset = dataStart + info.offset;
  if (offset + byteLength > source.size) {
    throw wrong(
      `its bytes ${offset} to ${offset + byteLength} lie outside the file, which has ${source.size}`,
      INCOMPLETE,
    );
  }
  return { name, type, shape, offset, byteLength };
}

function checkOverlaps(source: ByteSource, tensors: readonly TensorInfo[]): void {
  const ordered = tensors.filter(({ byteLength }) => byteLength > 0).sort((a, b) => a.offset - b.offset);
  for (const [i, { name, offset }] of ordered.entries()) {
    const before = ordered[i - 1];
    if (before && before.offset + before.byteLength > offset) {
      throw new RopewalkError(
        `${source.name}: tensor ${quote(name)}: its bytes overlap those of ${quote(before.name)}; ${DAMAGED}`,
      );
    }
  }
}
