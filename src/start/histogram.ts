import type { Histogram } from '../report/results.ts';

export class HistogramBuilder {
  readonly #counts: number[];
  #below = 0;
  #above = 0;
  #total = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  readonly #from: number;
  readonly #to: number;

  constructor(from: number, to: number, bins: number) {
    this.#from = from;
    this.#to = to;
    this.#counts = new Array<number>(bins).fill(0);
  }

  add(value: number): void {
    const from = this.#from;
    const to = this.#to;
    const counts = this.#counts;
    this.#total++;
    this.#min = Math.min(this.#min, value);
    this.#max = Math.max(this.#max, value);
    if (value < from) this.#below++;
    else if (value > to) this.#above++;
    else counts[Math.min(counts.length - 1, Math.floor(((value - from) / (to - from)) * counts.length))]!++;
  }

  result(): Histogram {
    const from = this.#from;
    const to = this.#to;
    const counts = this.#counts;
    const below = this.#below;
    const above = this.#above;
    const total = this.#total;
    const min = this.#min;
    const max = this.#max;
    return { from, to, counts: [...counts], below, above, total, min, max };
  }
}
