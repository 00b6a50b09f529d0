import type { Random } from '../random.ts';

/**
 * How rows of new tokens are initialized: the `mean` of the rows of their pieces, or that plus a small random vector
 * (`noise`).
 */
export const ROW_INITS = ['mean', 'noise'] as const;
export type RowInit = (typeof ROW_INITS)[number];

/** The size of the random vector, as a share of the standard deviation of the values in the table. */
const NOISE = 0.1;

export interface InitialRows {
  /** Values per row. */
  readonly width: number;
  /** New tokens in the order of their ids, each with the ids that it replaces. */
  readonly tokens: readonly { readonly id: number; readonly pieces: readonly number[] }[];
  readonly init: RowInit;
  readonly random: Random;
}

/**
 * Enlarges a weight with a row per token for a larger vocabulary. Existing rows keep their bits, except those of new
 * tokens (an embedding may be larger than its tokenizer).
 *
 * @param source `[rows, width]`
 * @param rows of the result; rows without a token are the mean of the source's rows
 */
export function growTable(
  source: Float32Array,
  rows: number,
  { width, tokens, init, random }: InitialRows,
): Float32Array {
  const before = source.length / width;
  const table = new Float32Array(rows * width);
  table.set(source);
  const first = tokens[0]?.id ?? rows;
  if (before < rows && (first > before || (tokens.at(-1)?.id ?? 0) + 1 < rows)) {
    const all = meanOf(
      source,
      Array.from({ length: before }, (_, row) => row),
      width,
    );
    for (let row = before; row < rows; row++) table.set(all, row * width);
  }
  const deviation = init === 'noise' ? NOISE * standardDeviation(source) : 0;
  for (const { id, pieces } of tokens) {
    const row = meanOf(table, pieces, width);
    if (init === 'noise')
      for (let i = 0; i < width; i++) row[i] = row[i]! + deviation * random.nextGaussian();
    table.set(row, id * width);
  }
  return table;
}

/** In float64. */
function meanOf(table: Float32Array, rows: readonly number[], width: number): Float64Array {
  const mean = new Float64Array(width);
  for (const row of rows) {
    for (let i = 0; i < width; i++) mean[i] = mean[i]! + table[row * width + i]!;
  }
  for (let i = 0; i < width; i++) mean[i] = mean[i]! / rows.length;
  return mean;
}

function standardDeviation(values: Float32Array): number {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    sum += values[i]!;
    squares += values[i]! ** 2;
  }
  const mean = sum / values.length;
  return Math.sqrt(Math.max(0, squares / values.length - mean ** 2));
}
