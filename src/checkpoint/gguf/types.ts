/**
 * Tensor types of GGUF files, by ggml's numbers: `block` values are stored together in `bytes` bytes. Source: `enum
 * ggml_type` and the block structures of ggml (https://github.com/ggml-org/ggml).
 */
export const GGML_TYPES = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  BF16: { id: 30, block: 1, bytes: 2 },
  Q8_0: { id: 8, block: 32, bytes: 34 },
  Q4_0: { id: 2, block: 32, bytes: 18 },
  Q4_1: { id: 3, block: 32, bytes: 20 },
  Q5_0: { id: 6, block: 32, bytes: 22 },
  Q5_1: { id: 7, block: 32, bytes: 24 },
  Q4_K: { id: 12, block: 256, bytes: 144 },
  Q5_K: { id: 13, block: 256, bytes: 176 },
  Q6_K: { id: 14, block: 256, bytes: 210 },
} as const;

/** A tensor type that we read. */
export type GgmlType = keyof typeof GGML_TYPES;

/** A tensor type that we write. */
export type WritableGgmlType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0';

/** ggml's names of the types that we do not read, for messages. */
const UNREAD_TYPES: Readonly<Record<number, string>> = {
  4: 'Q4_2',
  5: 'Q4_3',
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
  40: 'NVFP4',
  41: 'Q1_0',
};

const NAMES = new Map<number, GgmlType>(
  Object.entries(GGML_TYPES).map(([name, { id }]) => [id, name as GgmlType]),
);

/** The type with ggml's number `id`; undefined for one that we do not read. */
export function ggmlTypeOf(id: number): GgmlType | undefined {
  return NAMES.get(id);
}

/** A type number for messages. */
export function describeTypeId(id: number): string {
  const name = NAMES.get(id) ?? UNREAD_TYPES[id];
  return name ? `${id} (${name})` : `${id} (unknown)`;
}

export type NumericTypedArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | BigUint64Array
  | BigInt64Array
  | Float64Array;

/**
 * A metadata value. 64-bit integers are numbers if exact, otherwise bigints. Arrays of numbers are typed arrays
 * (BigInt arrays for 64-bit integers); arrays of strings, booleans and arrays are plain arrays.
 */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[] | NumericTypedArray;

export type GgufScalarType =
  | 'u8'
  | 'i8'
  | 'u16'
  | 'i16'
  | 'u32'
  | 'i32'
  | 'f32'
  | 'bool'
  | 'string'
  | 'u64'
  | 'i64'
  | 'f64';

/** The type of a metadata value in a file. */
export type GgufValueType = GgufScalarType | { readonly array: GgufValueType };

/** The format's number for the array type, `gguf_metadata_value_type` in its specification. */
export const ARRAY_TYPE = 9;

/** The format's numbers for the other types, and their sizes in bytes (for a string, the minimum). */
export const SCALAR_TYPES: Readonly<Record<GgufScalarType, { readonly id: number; readonly bytes: number }>> =
  {
    u8: { id: 0, bytes: 1 },
    i8: { id: 1, bytes: 1 },
    u16: { id: 2, bytes: 2 },
    i16: { id: 3, bytes: 2 },
    u32: { id: 4, bytes: 4 },
    i32: { id: 5, bytes: 4 },
    f32: { id: 6, bytes: 4 },
    bool: { id: 7, bytes: 1 },
    string: { id: 8, bytes: 8 },
    u64: { id: 10, bytes: 8 },
    i64: { id: 11, bytes: 8 },
    f64: { id: 12, bytes: 8 },
  };

const SCALARS = new Map<number, GgufScalarType>(
  Object.entries(SCALAR_TYPES).map(([name, { id }]) => [id, name as GgufScalarType]),
);

/** The scalar type with the format's number `id`; undefined for an array and for an unknown type. */
export function scalarTypeOf(id: number): GgufScalarType | undefined {
  return SCALARS.get(id);
}

/** The bytes "GGUF" as a little-endian word. */
export const MAGIC = 0x46554747;
export const ALIGNMENT_KEY = 'general.alignment';
export const DEFAULT_ALIGNMENT = 32;
/** ggml's limits: dimensions of a tensor, and bytes of its name (64 with the terminating zero). */
export const MAX_DIMS = 4;
export const MAX_NAME_BYTES = 63;

/**
 * The next multiple of `alignment`, a power of two. Uses remainders rather than bit operations, because positions may
 * exceed 2^32.
 */
export function alignUp(position: number, alignment: number): number {
  return position + ((alignment - (position % alignment)) % alignment);
}
