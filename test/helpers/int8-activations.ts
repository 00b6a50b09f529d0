/**
 * Activations as products with 8-bit activations take them: each block of a row as whole multiples, from -127 to 127, of a
 * 127th of its largest absolute value.
 *
 * @param data rows of `columns` values, one after another; a last block may be shorter.
 */
export function roundedActivations(data: ArrayLike<number>, columns: number, block: number): Float64Array {
  const rounded = new Float64Array(data.length);
  for (let row = 0; row < data.length; row += columns) {
    for (let from = row; from < row + columns; from += block) {
      const to = Math.min(from + block, row + columns);
      let largest = 0;
      for (let i = from; i < to; i++) largest = Math.max(largest, Math.abs(data[i]!));
      const step = largest / 127;
      for (let i = from; i < to; i++) rounded[i] = step === 0 ? 0 : step * Math.round(data[i]! / step);
    }
  }
  return rounded;
}
