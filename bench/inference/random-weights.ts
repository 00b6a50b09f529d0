import { rotaryRow } from '../../src/checkpoint/gguf/names.ts';
import type { Parameter } from '../../src/nn/module.ts';

/** For matrices; close to that of initial and trained weights. */
const STANDARD_DEVIATION = 0.02;

/** A parameter's weights, always the same: ones for norms, uniformly distributed values for matrices. */
export function randomWeights(name: string, { shape, size }: Parameter): Float32Array {
  const values = new Float32Array(size);
  if (shape.length === 1) return values.fill(1);
  // xorshift32 (Marsaglia 2003): fast enough for a billion values in seconds.
  let state = seedOf(name);
  const scale = (STANDARD_DEVIATION * Math.sqrt(3)) / 2 ** 31;
  for (let i = 0; i < values.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[i] = state * scale;
  }
  return values;
}

/** FNV-1a hash of a name; xorshift must not start at 0. */
function seedOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash || 1;
}

/** Rows of q or k in GGUF's order, from Hugging Face's. values `[heads · headDim, width]` */
export function interleave(values: Float32Array, { shape }: Parameter, headDim: number): Float32Array {
  const [rows, width] = shape as [number, number];
  const moved = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    moved.set(values.subarray(row * width, (row + 1) * width), rotaryRow(row, headDim) * width);
  }
  return moved;
}
