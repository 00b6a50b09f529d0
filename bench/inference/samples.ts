/** Measurements of one quantity in seconds; less is better. */
export class Samples {
  readonly values: number[] = [];

  add(seconds: number): void {
    this.values.push(seconds);
  }

  get best(): number {
    return Math.min(...this.values);
  }

  get median(): number {
    return median(this.values);
  }
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The quantile: the value below which a share of the values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}
