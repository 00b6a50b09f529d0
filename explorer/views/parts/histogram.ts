/** How often values occur in equal parts of a range; what lies outside is left out. */
export function histogram(values: ArrayLike<number>, from: number, to: number, bins: number): number[] {
  const counts = new Array<number>(bins).fill(0);
  for (let i = 0; i < values.length; i++) {
    const bin = Math.floor(((values[i]! - from) / (to - from)) * bins);
    if (bin >= 0 && bin < bins) counts[bin]!++;
  }
  return counts;
}

/** A range around zero that holds all but the rarest values. */
export function reach(values: ArrayLike<number>): number {
  const sizes = Float32Array.from(values, Math.abs).sort();
  const most = sizes[Math.floor(0.998 * (sizes.length - 1))] ?? 1;
  return Math.max(0.5, Math.ceil(most * 2) / 2);
}
