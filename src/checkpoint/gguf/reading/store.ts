import type { GgufTransform } from '../../../families/common/gguf.ts';
import { rotaryRow } from '../names.ts';

/** Side of the square tiles in which a matrix is transposed: both sides stay in the cache. */
const SQUARE = 32;

/**
 * A weight in Hugging Face's layout, row-major, as GGUF stores it.
 * @param values of `shape`; may be changed and returned
 * @param headDim the head size, if the first axis consists of heads
 */
export function toStored(
  values: Float32Array,
  shape: readonly number[],
  transform: GgufTransform,
  headDim: number,
): Float32Array {
  const rows = shape[0] ?? 1;
  const width = values.length / rows;
  switch (transform) {
    case 'same':
      return values;
    case 'plus one':
      for (let i = 0; i < values.length; i++) values[i]! += 1;
      return values;
    case 'transposed':
      return transpose(values, rows, width);
    case 'rotary rows': {
      const stored = new Float32Array(values.length);
      for (let row = 0; row < rows; row++) {
        stored.set(values.subarray(row * width, (row + 1) * width), rotaryRow(row, headDim) * width);
      }
      return stored;
    }
  }
}

function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const turned = new Float32Array(values.length);
  for (let top = 0; top < rows; top += SQUARE) {
    const bottom = Math.min(rows, top + SQUARE);
    for (let left = 0; left < columns; left += SQUARE) {
      const right = Math.min(columns, left + SQUARE);
      for (let column = left; column < right; column++) {
        for (let row = top; row < bottom; row++) {
          turned[column * rows + row] = values[row * columns + column]!;
        }
      }
    }
  }
  return turned;
}
