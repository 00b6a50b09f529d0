import { RopewalkError } from '../../errors.ts';
import { jsonProblem } from '../../files/json.ts';
import { findDuplicateKey } from '../../files/json-keys.ts';
import { DAMAGED, INCOMPLETE } from '../../files/remedies.ts';
import { sizeOf } from '../../graph/dims.ts';

/** Bits per element of every dtype in the format's specification. */
export const DTYPE_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** An element type of the safetensors format. */
export type SafetensorsDtype = keyof typeof DTYPE_BITS;

/** A tensor's location in its file. */
export interface TensorEntry {
  readonly dtype: SafetensorsDtype;
  /** Outermost first; empty for a scalar. */
  readonly shape: readonly number[];
  /** The offset of its first byte, from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** A checked file header. */
export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The longest header that the reference implementation accepts, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * Checks the first eight bytes, the header's length, against the file's size.
 * @returns the header's length in bytes.
 */
export function checkHeaderLength(file: string, prefix: Uint8Array, fileSize: number): number {
  if (prefix.byteLength < 8) {
    throw damaged(
      file,
      `it has ${fileSize} bytes, fewer than the 8 that hold the header's length`,
      INCOMPLETE,
    );
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw damaged(file, `the header's length is ${length} bytes and may be at most ${MAX_HEADER_BYTES}`);
  }
  if (8n + length > BigInt(fileSize)) {
    throw damaged(
      file,
      `the header's length is ${length} bytes, past the file's end at ${fileSize}`,
      INCOMPLETE,
    );
  }
  return Number(length);
}

/**
 * Parses and checks a safetensors header (https://huggingface.co/docs/safetensors, "Format"): everything that the
 * reference implementation refuses is refused, and so are duplicate names, of which it silently keeps the last.
 * @param file its name in messages
 * @param bytes the header, without the eight bytes of its length
 * @param fileSize of the whole file
 * @throws RopewalkError naming the file, the tensor and what is wrong
 */
export function parseHeader(file: string, bytes: Uint8Array, fileSize: number): SafetensorsHeader {
  const json = parseObject(file, bytes);
  const dataStart = 8 + bytes.byteLength;
  const tensors = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') metadata = checkMetadata(file, value);
    else tensors.set(name, checkEntry(file, name, value, dataStart, fileSize));
  }
  checkCoverage(file, tensors, dataStart, fileSize);
  return { tensors, metadata };
}

function parseObject(file: string, bytes: Uint8Array): Record<string, unknown> {
  if (bytes[0] !== 0x7b) throw damaged(file, "the header does not start with '{'");
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    json = JSON.parse(text);
  } catch (error) {
    const what = error instanceof SyntaxError ? jsonProblem(error) : 'not UTF-8 text';
    throw damaged(file, `the header is not JSON (${what})`);
  }
  if (!isObject(json)) throw damaged(file, 'the header is not a JSON object');
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) throw damaged(file, `the header has ${quote(duplicate)} twice`);
  return json;
}

function checkMetadata(file: string, value: unknown): Record<string, string> {
  if (!isObject(value)) throw damaged(file, '__metadata__ is not a JSON object');
  const metadata: Record<string, string> = Object.create(null);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') {
      throw damaged(file, `__metadata__ has ${quote(key)}, which is not a string`);
    }
    metadata[key] = text;
  }
  return metadata;
}

function checkEntry(
  file: string,
  name: string,
  value: unknown,
  dataStart: number,
  fileSize: number,
): TensorEntry {
  const wrong = (what: string, remedy?: string) => damaged(file, `tensor ${quote(name)}: ${what}`, remedy);
  if (!isObject(value)) throw wrong('its entry is not a JSON object');
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BITS, dtype)) {
    throw wrong(`dtype ${show(dtype)} is not one of ${Object.keys(DTYPE_BITS).join(', ')}`);
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    throw wrong(`shape ${show(shape)} is not a list of sizes (integers from 0 on)`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    throw wrong(`data_offsets ${show(offsets)} is not a pair [begin, end] of integers from 0 on`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) throw wrong(`data_offsets ${show(offsets)} end before they begin`);
  const dataBytes = fileSize - dataStart;
  if (end > dataBytes) {
    throw wrong(
      `data_offsets ${show(offsets)} lie outside the file, whose data has ${dataBytes} bytes`,
      INCOMPLETE,
    );
  }
  const elements = sizeOf(shape);
  const bits = elements * DTYPE_BITS[dtype as SafetensorsDtype];
  if (!Number.isSafeInteger(bits)) throw wrong(`shape ${show(shape)} has too many elements`);
  if (bits !== (end - begin) * 8) {
    throw wrong(
      `shape ${show(shape)} of ${dtype} takes ${bits / 8} bytes and data_offsets ${show(offsets)} give ${end - begin}`,
    );
  }
  return { dtype: dtype as SafetensorsDtype, shape, offset: dataStart + begin, byteLength: end - begin };
}

/** The tensors must be contiguous from the start of the data to the end of the file: no overlaps, no gaps. */
function checkCoverage(
  file: string,
  tensors: ReadonlyMap<string, TensorEntry>,
  dataStart: number,
  fileSize: number,
): void {
  const ordered = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.byteLength - b.byteLength);
  let at = dataStart;
  let before: string | undefined;
  for (const [name, { offset, byteLength }] of ordered) {
    if (offset < at)
      throw damaged(file, `tensor ${quote(name)}: its bytes overlap those of ${quote(before!)}`);
    if (offset > at) {
      throw damaged(file, `tensor ${quote(name)}: the ${offset - at} bytes before it belong to no tensor`);
    }
    at += byteLength;
    before = name;
  }
  if (at !== fileSize) throw damaged(file, `the last ${fileSize - at} bytes belong to no tensor`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A name for messages: quoted and truncated, since a damaged file may contain an endless one. */
export function quote(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);
}

/** A value for messages, truncated: a damaged file may have endless or deeply nested lists. */
export function show(value: unknown): string {
  if (value === undefined) return 'missing';
  const text = Array.isArray(value)
    ? `[${value.slice(0, 50).map(showItem).join(',')}${value.length > 50 ? ',…' : ''}]`
    : showItem(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

function showItem(value: unknown): string {
  if (Array.isArray(value)) return '[…]';
  return isObject(value) ? '{…}' : JSON.stringify(value);
}

function damaged(file: string, what: string, remedy: string = DAMAGED): RopewalkError {
  return new RopewalkError(`${file}: ${what}; ${remedy}`);
}
