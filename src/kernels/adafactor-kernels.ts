/**
 * The three passes of Adafactor over a matrix [rows, width]. Wherever the rows are, they are copied in chunks to a
 * memory that the kernels can reach; small matrices use plain JavaScript, with the same bits.
 */
import { checkLengths } from './kernels.ts';
import * as scalar from './scalar-adafactor.ts';
import { scratchViews } from './staging.ts';

export type { Factors } from './scalar-adafactor.ts';

/** Elements per chunk; see staging.ts. */
const CHUNK = 2 ** 15;

/** Matrices of fewer elements are not worth a copy. */
const SMALL = 512;

/**
 * Writes each row's mean of g² into `rowMeans` and adds each column's Σ g² to `columns`; g is `gradScale · grad`.
 *
 * @param param,grad `[rowMeans.length, columns.length]`
 * @param chunk elements to copy at a time
 * @returns Σ param²
 */
export function adafactorSums(
  param: Float32Array,
  grad: Float32Array,
  rowMeans: Float32Array,
  columns: Float64Array,
  gradScale: number,
  chunk?: number,
): number {
  checkLengths('adafactor', { param, grad, rows: { length: rowMeans.length * columns.length } });
  if (isSmall(grad, chunk)) return scalar.adafactorSums(param, grad, rowMeans, columns, gradScale);
  const width = columns.length;
  const rows = rowsAtATime(rowMeans.length, width, chunk);
  const { kernels, views } = scratchViews(
    [param, grad, rowMeans, columns],
    [rows * width, rows * width, rows, width],
  );
  const [p, g, means, sums] = views;
  sums.set(columns);
  let sum = 0;
  for (const { start, end } of runs(rowMeans.length, rows)) {
    p.set(param.subarray(start * width, end * width));
    g.set(grad.subarray(start * width, end * width));
    sum = kernels.adafactorSums(
      p.byteOffset,
      g.byteOffset,
      means.byteOffset,
      sums.byteOffset,
      end - start,
      width,
      gradScale,
      sum,
    );
    rowMeans.set(means.subarray(0, end - start), start);
  }
  columns.set(sums);
  return sum;
}

/** @returns Σ u² of the updates u = g / √max(r·c, floor); see {@link adafactorSums}. */
export function adafactorNorm(
  grad: Float32Array,
  factors: scalar.Factors,
  gradScale: number,
  chunk?: number,
): number {
  const { floor } = factors;
  const count = factors.rows.length;
  const width = factors.columns.length;
  checkLengths('adafactor', { grad, factors: { length: count * width } });
  if (isSmall(grad, chunk)) return scalar.adafactorNorm(grad, factors, gradScale);
  const rows = rowsAtATime(count, width, chunk);
  const { kernels, views } = scratchViews([grad, factors.rows, factors.columns], [rows * width, rows, width]);
  const [g, rowFactors, columnFactors] = views;
  columnFactors.set(factors.columns);
  let sum = 0;
  for (const { start, end } of runs(count, rows)) {
    g.set(grad.subarray(start * width, end * width));
    rowFactors.set(factors.rows.subarray(start, end));
    sum = kernels.adafactorNorm(
      g.byteOffset,
      rowFactors.byteOffset,
      columnFactors.byteOffset,
      end - start,
      width,
      floor,
      gradScale,
      sum,
    );
  }
  return sum;
}

/** param ← decay · param − rate · u, in place, with u as in {@link adafactorNorm}. */
export function adafactorUpdate(
  param: Float32Array,
  grad: Float32Array,
  factors: scalar.Factors,
  gradScale: number,
  decay: number,
  rate: number,
  chunk?: number,
): void {
  const count = factors.rows.length;
  const width = factors.columns.length;
  checkLengths('adafactor', { param, grad, factors: { length: count * width } });
  if (isSmall(grad, chunk)) {
    scalar.adafactorUpdate(param, grad, factors, gradScale, decay, rate);
    return;
  }
  const rows = rowsAtATime(count, width, chunk);
  const { kernels, views } = scratchViews(
    [param, grad, factors.rows, factors.columns],
    [rows * width, rows * width, rows, width],
  );
  const [p, g, rowFactors, columnFactors] = views;
  columnFactors.set(factors.columns);
  for (const { start, end } of runs(count, rows)) {
    const part = param.subarray(start * width, end * width);
    p.set(part);
    g.set(grad.subarray(start * width, end * width));
    rowFactors.set(factors.rows.subarray(start, end));
    kernels.adafactorUpdate(
      p.byteOffset,
      g.byteOffset,
      rowFactors.byteOffset,
      columnFactors.byteOffset,
      end - start,
      width,
      factors.floor,
      gradScale,
      decay,
      rate,
    );
    part.set(p.subarray(0, part.length));
  }
}

function isSmall({ length }: Float32Array, chunk: number | undefined): boolean {
  return chunk === undefined && length < SMALL;
}

function rowsAtATime(rows: number, width: number, chunk = CHUNK): number {
  return Math.min(rows, Math.max(1, Math.floor(chunk / width)));
}

function* runs(rows: number, most: number): Generator<{ start: number; end: number }> {
  for (let start = 0; start < rows; start += most) yield { start, end: Math.min(rows, start + most) };
}
