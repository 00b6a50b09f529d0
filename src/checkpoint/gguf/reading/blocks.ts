import { float16ToFloat32 } from '../../dtypes.ts';
import type { GgmlType } from '../types.ts';

/** Types that store integer codes with a scale, and possibly an offset, per group. */
export type QuantizedGgmlType = Exclude<GgmlType, 'F32' | 'F16' | 'BF16'>;

/** The most values, and the most groups, in a block of any type. */
const MAX_BLOCK = 256;
const MAX_GROUPS = 16;

/** An unpacked block: value i is scales[i / group] · (codes[i] − zero) + offsets[i / group], all in float32. */
export interface UnpackedBlock {
  /** Unsigned. */
  readonly codes: Uint8Array;
  readonly scales: Float32Array;
  /** Written only by types that have offsets; for others nothing is added, so that −0 stays −0. */
  readonly offsets: Float32Array;
}

/** How a type packs its codes. */
export interface BlockLayout {
  /** Values that share a scale. */
  readonly group: 16 | 32;
  /** The number of bits for a code: 4, or the engine's next size. */
  readonly bits: 4 | 8;
  /** The code for zero. */
  readonly zero: number;
  readonly hasOffsets: boolean;
  /** Unpacks the block that starts at `bytes[at]`. */
  unpack(bytes: Uint8Array, at: number, out: UnpackedBlock): void;
}

export function newUnpackedBlock(): UnpackedBlock {
  return {
    codes: new Uint8Array(MAX_BLOCK),
    scales: new Float32Array(MAX_GROUPS),
    offsets: new Float32Array(MAX_GROUPS),
  };
}

/** The value of each float16 code. Created on first use: 256 KiB. */
let halves: Float32Array | undefined;

function halfAt(bytes: Uint8Array, at: number): number {
  if (!halves) {
    const codes = Uint16Array.from({ length: 0x10000 }, (_, code) => code);
    halves = new Float32Array(0x10000);
    float16ToFloat32(codes, halves);
  }
  return halves[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

/** 16 bytes: the low halves are codes 0 … 15, the high ones 16 … 31. */
function unpackNibbles(bytes: Uint8Array, at: number, codes: Uint8Array): void {
  for (let i = 0; i < 16; i++) {
    const byte = bytes[at + i]!;
    codes[i] = byte & 15;
    codes[i + 16] = byte >>> 4;
  }
}

/** The same with a fifth bit for each code: bit i of the four bytes at `high`. */
function unpackFives(bytes: Uint8Array, high: number, at: number, codes: Uint8Array): void {
  const bits = bytes[high]! | (bytes[high + 1]! << 8) | (bytes[high + 2]! << 16) | (bytes[high + 3]! << 24);
  for (let i = 0; i < 16; i++) {
    const byte = bytes[at + i]!;
    codes[i] = (byte & 15) | (((bits >>> i) & 1) << 4);
    codes[i + 16] = (byte >>> 4) | (((bits >>> (i + 16)) & 1) << 4);
  }
}

/**
 * The scales and offsets of the eight groups of a K type: two halves that scale 6-bit numbers, packed in 12 bytes. The
 * first four pairs are in the low six bits of bytes 0–3 and 4–7; the last four in the halves of bytes 8–11, with their
 * upper two bits in the top bits of bytes 0–7.
 */
function unpackScales(bytes: Uint8Array, at: number, { scales, offsets }: UnpackedBlock): void {
  const scale = halfAt(bytes, at);
  const least = halfAt(bytes, at + 2);
  const packed = at + 4;
  for (let i = 0; i < 4; i++) {
    const a = bytes[packed + i]!;
    const b = bytes[packed + 4 + i]!;
    const c = bytes[packed + 8 + i]!;
    scales[i] = scale * (a & 63);
    offsets[i] = -(least * (b & 63));
    scales[i + 4] = scale * ((c & 15) | ((a >>> 2) & 48));
    offsets[i + 4] = -(least * ((c >>> 4) | ((b >>> 2) & 48)));
  }
}

/**
 * The layouts of ggml's block structures (`block_q4_0` … `block_q6_K` in ggml-common.h). A product of a float16 and a
 * code is exact in float64, so rounding once to float32 equals float32 arithmetic.
 */
export const LAYOUTS: Readonly<Record<QuantizedGgmlType, BlockLayout>> = {
  // scale, 32 signed bytes
  Q8_0: {
    group: 32,
    bits: 8,
    zero: 128,
    hasOffsets: false,
    unpack(bytes, at, { codes, scales }) {
      scales[0] = halfAt(bytes, at);
      for (let i = 0; i < 32; i++) codes[i] = bytes[at + 2 + i]! ^ 0x80;
    },
  },
  // scale, nibbles
  Q4_0: {
    group: 32,
    bits: 4,
    zero: 8,
    hasOffsets: false,
    unpack(bytes, at, { codes, scales }) {
      scales[0] = halfAt(bytes, at);
      unpackNibbles(bytes, at + 2, codes);
    },
  },
  // scale, offset, nibbles
  Q4_1: {
    group: 32,
    bits: 4,
    zero: 0,
    hasOffsets: true,
    unpack(bytes, at, { codes, scales, offsets }) {
      scales[0] = halfAt(bytes, at);
      offsets[0] = halfAt(bytes, at + 2);
      unpackNibbles(bytes, at + 4, codes);
    },
  },
  // scale, fifth bits, nibbles
  Q5_0: {
    group: 32,
    bits: 8,
    zero: 16,
    hasOffsets: false,
    unpack(bytes, at, { codes, scales }) {
      scales[0] = halfAt(bytes, at);
      unpackFives(bytes, at + 2, at + 6, codes);
    },
  },
  // scale, offset, fifth bits, nibbles
  Q5_1: {
    group: 32,
    bits: 8,
    zero: 0,
    hasOffsets: true,
    unpack(bytes, at, { codes, scales, offsets }) {
      scales[0] = halfAt(bytes, at);
      offsets[0] = halfAt(bytes, at + 2);
      unpackFives(bytes, at + 4, at + 8, codes);
    },
  },
  // scales and offsets, then four times 32 bytes whose low halves are one group and whose high halves are the next
  Q4_K: {
    group: 32,
    bits: 4,
    zero: 0,
    hasOffsets: true,
    unpack(bytes, at, out) {
      unpackScales(bytes, at, out);
      const { codes } = out;
      for (let pair = 0; pair < 4; pair++) {
        const from = at + 16 + 32 * pair;
        const to = 64 * pair;
        for (let i = 0; i < 32; i++) {
          const byte = bytes[from + i]!;
          codes[to + i] = byte & 15;
          codes[to + 32 + i] = byte >>> 4;
        }
      }
    },
  },
  // the same with 32 bytes in between, whose bit g is the fifth bit of group g
  Q5_K: {
    group: 32,
    bits: 8,
    zero: 0,
    hasOffsets: true,
    unpack(bytes, at, out) {
      unpackScales(bytes, at, out);
      const { codes } = out;
      const high = at + 16;
      for (let pair = 0; pair < 4; pair++) {
        const from = at + 48 + 32 * pair;
        const to = 64 * pair;
        for (let i = 0; i < 32; i++) {
          const byte = bytes[from + i]!;
          const fifth = bytes[high + i]! >>> (2 * pair);
          codes[to + i] = (byte & 15) | ((fifth & 1) << 4);
          codes[to + 32 + i] = (byte >>> 4) | ((fifth & 2) << 3);
        }
      }
    },
  },
  // twice: 64 bytes of low halves; twice: 32 bytes of upper pairs of bits; 16 signed scales; their scale
  Q6_K: {
    group: 16,
    bits: 8,
    zero: 32,
    hasOffsets: false,
    unpack(bytes, at, { codes, scales }) {
      const scale = halfAt(bytes, at + 208);
      for (let i = 0; i < 16; i++) scales[i] = scale * ((bytes[at + 192 + i]! << 24) >> 24);
      for (let half = 0; half < 2; half++) {
        const low = at + 64 * half;
        const high = at + 128 + 32 * half;
        const to = 128 * half;
        for (let i = 0; i < 32; i++) {
          const a = bytes[low + i]!;
          const b = bytes[low + 32 + i]!;
          const upper = bytes[high + i]!;
          codes[to + i] = (a & 15) | ((upper & 3) << 4);
          codes[to + 32 + i] = (b & 15) | ((upper & 12) << 2);
          codes[to + 64 + i] = (a >>> 4) | (upper & 48);
          codes[to + 96 + i] = (b >>> 4) | ((upper & 192) >>> 2);
        }
      }
    },
  },
};

/** Whether this type stores codes in blocks, rather than floats. */
export function isQuantized(type: GgmlType): type is QuantizedGgmlType {
  return Object.hasOwn(LAYOUTS, type);
}
