import type { Histogram } from '../report/results.ts';

export class HistogramBuilder {
  private readonly counts: number[];
  private below = 0;
  private above = 0;
  private total = 0;
  private min = Number.POSITIVE_INFINITY;
  private max = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly from: number,
    private readonly to: number,
    bins: number,
  ) {
    this.counts = new Array<number>(bins).fill(0);
  }

  add(value: number): void {
    const { from, to, counts } = this;
    this.total++;
    this.min = Math.min(this.min, value);
    this.max = Math.max(this.max, value);
    if (value < from) this.below++;
    else if (value > to) this.above++;
    else counts[Math.min(counts.length - 1, Math.floor(((value - from) / (to - from)) * counts.length))]!++;
  }

  result(): Histogram {
    const { from, to, counts, below, above, total, min, max } = this;
    return { from, to, counts: [...counts], below, above, total, min, max };
  }
}
