/** src/kernels/assembly/adafactor.ts in plain JavaScript, with the same bits; see scalar-kernels.ts. */

const { fround, sqrt } = Math;

/** Σ x² of a row as the kernel sums it: even and odd elements of two pairs, joined at the end. */
function rowSum(width: number, square: (i: number) => number): number {
  const whole = width - (width % 4);
  const lanes = [0, 0, 0, 0] as [number, number, number, number];
  for (let i = 0; i < whole; i++) lanes[i & 3]! += square(i);
  let sum = lanes[0] + lanes[2] + (lanes[1] + lanes[3]);
  for (let i = whole; i < width; i++) sum += square(i);
  return sum;
}

export function adafactorSums(
  param: Float32Array,
  grad: Float32Array,
  rowMeans: Float32Array,
  columns: Float64Array,
  gradScale: number,
): number {
  const scaleBy = fround(gradScale);
  const width = columns.length;
  let sum = 0;
  for (let row = 0; row < rowMeans.length; row++) {
    const start = row * width;
    const squares = rowSum(width, (i) => {
      const g = fround(grad[start + i]! * scaleBy);
      columns[i]! += g * g;
      return g * g;
    });
    rowMeans[row] = squares / width;
    sum += rowSum(width, (i) => param[start + i]! * param[start + i]!);
  }
  return sum;
}

/** Adafactor's divisor: √max(r·c, floor), with r per row and c per column. */
export interface Factors {
  readonly rows: Float32Array;
  readonly columns: Float32Array;
  readonly floor: number;
}

function updateOf(g: number, row: number, column: number, floor: number): number {
  const product = fround(row * column);
  return fround(g / fround(sqrt(product < floor ? floor : product)));
}

export function adafactorNorm(grad: Float32Array, factors: Factors, gradScale: number): number {
  const scaleBy = fround(gradScale);
  const floor = fround(factors.floor);
  const { rows, columns } = factors;
  const width = columns.length;
  let sum = 0;
  for (const [row, factor] of rows.entries()) {
    sum += rowSum(width, (i) => {
      const g = fround(grad[row * width + i]! * scaleBy);
      return updateOf(g, factor, columns[i]!, floor) ** 2;
    });
  }
  return sum;
}

export function adafactorUpdate(
  param: Float32Array,
  grad: Float32Array,
  factors: Factors,
  gradScale: number,
  decay: number,
  rate: number,
): void {
  const scaleBy = fround(gradScale);
  const floor = fround(factors.floor);
  const keep = fround(decay);
  const step = fround(rate);
  const { rows, columns } = factors;
  const width = columns.length;
  for (const [row, factor] of rows.entries()) {
    for (let i = 0; i < width; i++) {
      const at = row * width + i;
      const u = updateOf(fround(grad[at]! * scaleBy), factor, columns[i]!, floor);
      param[at] = fround(param[at]! * keep) - fround(step * u);
    }
  }
}
