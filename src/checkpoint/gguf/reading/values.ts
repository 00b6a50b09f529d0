import { INCOMPLETE } from '../../../files/remedies.ts';
import type { StoredValue } from '../texts.ts';
import {
  ARRAY_TYPE,
  type GgufScalarType,
  type GgufValue,
  type NumericTypedArray,
  SCALAR_TYPES,
  scalarTypeOf,
} from '../types.ts';
import type { HeaderCursor } from './cursor.ts';

const MAX_DEPTH = 4;
/** An empty array takes 12 bytes of a file and ten times that in memory; real files have a dozen. */
const MAX_ARRAYS = 1 << 16;

/** From so many on, texts are not made strings. */
const MANY_TEXTS = 1024;

/** Counts items whose number is limited over all of a file's metadata. */
export class ValueLimits {
  arrays = 0;
}

/**
 * Reads a metadata value.
 * @param type the format's type number
 * @throws RopewalkError for an unknown type, and for values that extend past the end of the file
 */
export async function readValue(
  cursor: HeaderCursor,
  type: number,
  limits: ValueLimits,
  depth = 0,
): Promise<StoredValue> {
  if (type === ARRAY_TYPE) return readArray(cursor, limits, depth);
  const scalar = scalarTypeOf(type);
  if (!scalar) throw cursor.damaged(`value type ${type} is unknown`);
  if (scalar === 'string') return cursor.string();
  const bytes = await cursor.bytes(SCALAR_TYPES[scalar].bytes);
  if (scalar === 'bool') return toBoolean(cursor, bytes[0]!);
  const value = toNumbers(scalar, bytes)[0]!;
  if (typeof value === 'number') return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

async function readArray(cursor: HeaderCursor, limits: ValueLimits, depth: number): Promise<StoredValue> {
  if (depth >= MAX_DEPTH) throw cursor.damaged(`arrays are nested more than ${MAX_DEPTH} deep`);
  if (++limits.arrays > MAX_ARRAYS) throw cursor.damaged(`there are more than ${MAX_ARRAYS} arrays`);
  const type = await cursor.u32();
  const length = await cursor.u64();
  const scalar = scalarTypeOf(type);
  if (!scalar && type !== ARRAY_TYPE) throw cursor.damaged(`value type ${type} is unknown`);
  const least = scalar ? SCALAR_TYPES[scalar].bytes : 4 + 8;
  if (length * least > cursor.remaining) {
    throw cursor.damaged(
      `an array of ${length} values does not fit into ${cursor.remaining} bytes`,
      INCOMPLETE,
    );
  }
  if (!scalar) {
    const arrays: GgufValue[] = [];
    // Texts are packed only at the top.
    for (let i = 0; i < length; i++) arrays.push((await readArray(cursor, limits, depth + 1)) as GgufValue);
    return arrays;
  }
  if (scalar === 'string' && length >= MANY_TEXTS && depth === 0) return cursor.texts(length);
  if (scalar === 'string') {
    const strings: string[] = [];
    for (let i = 0; i < length; i++) strings.push(cursor.tryString() ?? (await cursor.string()));
    return strings;
  }
  const bytes = await cursor.bytes(length * least);
  if (scalar === 'bool') return Array.from(bytes, (byte) => toBoolean(cursor, byte));
  return toNumbers(scalar, bytes);
}

function toBoolean(cursor: HeaderCursor, byte: number): boolean {
  if (byte > 1) throw cursor.damaged(`${byte} is not a boolean, 0 or 1`);
  return byte === 1;
}

function toNumbers(
  type: Exclude<GgufScalarType, 'string' | 'bool'>,
  { buffer }: Uint8Array,
): NumericTypedArray {
  switch (type) {
    case 'u8':
      return new Uint8Array(buffer);
    case 'i8':
      return new Int8Array(buffer);
    case 'u16':
      return new Uint16Array(buffer);
    case 'i16':
      return new Int16Array(buffer);
    case 'u32':
      return new Uint32Array(buffer);
    case 'i32':
      return new Int32Array(buffer);
    case 'f32':
      return new Float32Array(buffer);
    case 'u64':
      return new BigUint64Array(buffer);
    case 'i64':
      return new BigInt64Array(buffer);
    case 'f64':
      return new Float64Array(buffer);
  }
}
