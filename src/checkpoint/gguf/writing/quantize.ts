import { RopewalkError } from '../../../errors.ts';
import { float32ToBfloat16, float32ToFloat16 } from '../../dtypes.ts';
import { GGML_TYPES, type WritableGgmlType } from '../types.ts';

/**
 * Encodes float32 values as blocks of `type`, byte for byte like `gguf.quants.quantize` of llama.cpp's Python package
 * `gguf`. Scales and codes are computed in float32, rounding after each operation.
 * @param values whole blocks; each row of a matrix must also be whole blocks
 * @throws RopewalkError for an incomplete block, and for values that Q8_0 and Q4_0 cannot represent: NaN, infinities,
 *   and values so large that their scale exceeds float16
 */
export function quantize(type: WritableGgmlType, values: Float32Array): Uint8Array {
  const { block, bytes } = GGML_TYPES[type];
  if (values.length % block !== 0) {
    throw new RopewalkError(
      `${values.length} numbers are not a multiple of the block size ${block} of ${type}`,
    );
  }
  const target = new Uint8Array((values.length / block) * bytes);
  switch (type) {
    case 'F32':
      target.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      break;
    case 'F16':
      float32ToFloat16(values, new Uint16Array(target.buffer));
      break;
    case 'BF16':
      float32ToBfloat16(values, new Uint16Array(target.buffer));
      break;
    case 'Q8_0':
      quantizeEights(values, target);
      break;
    case 'Q4_0':
      quantizeFours(values, target);
      break;
  }
  return target;
}

/** Q8_0: the scale is the largest magnitude / 127, codes are rounded half away from zero. */
function quantizeEights(values: Float32Array, target: Uint8Array): void {
  const scales = new ScaleWriter('Q8_0');
  for (let from = 0, to = 0; from < values.length; from += 32, to += 34) {
    const largest = Math.abs(largestOf(values, from));
    const scale = Math.fround(largest / 127);
    scales.write(scale, target, to);
    const inverse = inverseOf(scale);
    for (let i = 0; i < 32; i++) {
      const scaled = Math.fround(values[from + i]! * inverse);
      // The sum is exact in float64. Negative codes wrap around: they are stored as signed bytes.
      target[to + 2 + i] = scaled < 0 ? -Math.trunc(0.5 - scaled) : Math.trunc(scaled + 0.5);
    }
  }
}

/** Q4_0: the value of largest magnitude becomes −8 times the scale, which therefore has the opposite sign. */
function quantizeFours(values: Float32Array, target: Uint8Array): void {
  const scales = new ScaleWriter('Q4_0');
  for (let from = 0, to = 0; from < values.length; from += 32, to += 18) {
    const scale = Math.fround(largestOf(values, from) / -8);
    scales.write(scale, target, to);
    const inverse = inverseOf(scale);
    for (let i = 0; i < 16; i++) {
      const low = fourBits(values[from + i]!, inverse);
      const high = fourBits(values[from + 16 + i]!, inverse);
      target[to + 2 + i] = low | (high << 4);
    }
  }
}

function fourBits(value: number, inverse: number): number {
  const shifted = Math.fround(Math.fround(value * inverse) + 8.5);
  return Math.min(15, Math.max(0, Math.trunc(shifted)));
}

/** The first of the 32 values with the largest magnitude; NaN if there is one. */
function largestOf(values: Float32Array, from: number): number {
  let largest = values[from]!;
  for (let i = from; i < from + 32; i++) {
    const value = values[i]!;
    if (Number.isNaN(value)) return value;
    if (Math.abs(value) > Math.abs(largest)) largest = value;
  }
  return largest;
}

/**
 * 1 / scale in float32. If that overflows, the scale is far below the smallest float16, so the block is all zeros
 * whatever its codes.
 */
function inverseOf(scale: number): number {
  const inverse = Math.fround(1 / scale);
  return Number.isFinite(inverse) ? inverse : 0;
}

/** Writes scales as float16, and refuses non-finite ones. */
class ScaleWriter {
  readonly #type: string;
  readonly #value = new Float32Array(1);
  readonly #code = new Uint16Array(1);

  constructor(type: string) {
    this.#type = type;
  }

  write(scale: number, target: Uint8Array, at: number): void {
    this.#value[0] = scale;
    float32ToFloat16(this.#value, this.#code);
    const code = this.#code[0]!;
    if ((code & 0x7c00) === 0x7c00) {
      throw new RopewalkError(
        `${this.#type} cannot hold ${Number.isFinite(scale) ? 'values as large as these' : 'NaN or infinite values'}; ` +
          'check the weights, or write F32',
      );
    }
    target[at] = code & 0xff;
    target[at + 1] = code >>> 8;
  }
}
