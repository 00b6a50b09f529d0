import { float32ToFloat16 } from '../checkpoint/dtypes.ts';
import { option, RopewalkError, said } from '../errors.ts';
import type { ByteSink } from '../files/source.ts';
import type { PlacedWeight } from './onnx.ts';

/** Values that are transposed, converted and written at a time. */
const CHUNK = 1 << 20;
/** Values in a cache line. */
const STRIP = 16;
/** The largest float16. Values that round to more become infinite. */
const FLOAT16_MAX = 65504;

/**
 * Writes a data file: every weight at its offset, zeros in between. At most one weight is in memory, as float32.
 * @param read a parameter's values in its own layout, by path
 * @param onProgress called after every weight with the bytes written so far
 * @throws RopewalkError for a value that float16 cannot represent
 */
export async function writeWeightData(
  sink: ByteSink,
  weights: readonly PlacedWeight[],
  read: (path: string) => Promise<Float32Array>,
  onProgress: (bytes: number) => void = () => {},
): Promise<void> {
  let at = 0;
  for (const weight of weights) {
    if (weight.offset > at) await sink.write(new Uint8Array(weight.offset - at));
    const values = weight.constant ? Float32Array.from(weight.constant) : await read(weight.name);
    for (const chunk of weight.transposed ? turned(values, weight.shape) : pieces(values)) {
      await sink.write(weight.dtype === 'float16' ? toFloat16(chunk, weight.name) : bytesOf(chunk));
    }
    at = weight.offset + weight.byteLength;
    onProgress(at);
  }
}

function* pieces(values: Float32Array): Generator<Float32Array> {
  for (let at = 0; at < values.length; at += CHUNK) yield values.subarray(at, at + CHUNK);
}

/** `[out, in]` → `[in, out]`, a few rows at a time; a piece is reused once the next one is requested. */
function* turned(values: Float32Array, shape: readonly number[]): Generator<Float32Array> {
  const [inner, out] = shape as [number, number];
  const height = Math.max(1, Math.min(inner, Math.floor(CHUNK / out)));
  const piece = new Float32Array(height * out);
  for (let first = 0; first < inner; first += height) {
    const rows = Math.min(height, inner - first);
    // In strips as wide as a cache line: both sides are then read and written line by line.
    for (let from = 0; from < out; from += STRIP) {
      const to = Math.min(out, from + STRIP);
      for (let row = 0; row < rows; row++) {
        for (let column = from; column < to; column++) {
          piece[row * out + column] = values[column * inner + first + row]!;
        }
      }
    }
    yield piece.subarray(0, rows * out);
  }
}

function toFloat16(values: Float32Array, name: string): Uint8Array {
  checkFloat16(values, name);
  const codes = new Uint16Array(values.length);
  float32ToFloat16(values, codes);
  return bytesOf(codes);
}

/** Refuses values that would become infinite. */
export function checkFloat16(values: Float32Array, name: string): void {
  for (const value of values) {
    if (Math.abs(value) > FLOAT16_MAX && Number.isFinite(value)) {
      throw new RopewalkError(
        said`the weight "${name}" contains ${value}, but the largest float16 is ${FLOAT16_MAX}; choose another type (${option('dtype')}).`,
      );
    }
  }
}

function bytesOf(values: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
