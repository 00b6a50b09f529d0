import { RopewalkError } from '../errors.ts';

/** A mean with its 95 % confidence interval. */
export interface Interval {
  readonly mean: number;
  /** Half the interval's width; null for a single value. */
  readonly margin: number | null;
}

/** Student's t at 97.5 % for 1, 2, 3 … degrees of freedom, from published tables. */
const T = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];
const NORMAL = 1.96;

/** The mean of independent, normally distributed values, with its t interval. */
export function confidence(values: readonly number[]): Interval {
  const count = values.length;
  if (count === 0) throw new RopewalkError('an interval needs at least one value.');
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  if (count === 1) return { mean, margin: null };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  return { mean, margin: (T[count - 2] ?? NORMAL) * Math.sqrt(variance / count) };
}
