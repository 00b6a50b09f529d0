/** Measurements of one thing: seconds, of which less is better. */
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
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

/** A map that makes what is missing. */
export class SamplesBy<Key> {
  private readonly all = new Map<Key, Samples>();

  get(key: Key): Samples {
    const samples = this.all.get(key) ?? new Samples();
    this.all.set(key, samples);
    return samples;
  }
}
