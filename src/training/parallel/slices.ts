import { sizeOf } from '../../graph/dims.ts';
import { BLOCK } from '../../kernels/moment-kernels.ts';
import type { Range } from '../optimizers/optimizer.ts';

/** Which elements of each weight are which rank's. */
export class Slices {
  readonly #bounds: ReadonlyMap<string, readonly number[]>;

  /**
   * @param rank this one.
   * @param whole whether weights are dealt out as wholes, for optimizers that need all elements of a weight at once.
   * @param tables weights with a row, or a number, for each token: slices of them are of the same whole rows.
   */
  constructor(
    parameters: Iterable<{ readonly name: string; readonly shape: readonly number[] }>,
    readonly rank: number,
    readonly ranks: number,
    whole: boolean,
    tables: ReadonlySet<string> = new Set(),
  ) {
    const loads = new Array<number>(ranks).fill(0);
    this.#bounds = new Map(
      [...parameters].map(({ name, shape }) => {
        const size = sizeOf(shape);
        if (!whole)
          return [name, evenBounds(size, ranks, tables.has(name) ? BLOCK * sizeOf(shape.slice(1)) : BLOCK)];
        const owner = loads.indexOf(Math.min(...loads));
        loads[owner]! += size;
        return [name, Array.from({ length: ranks + 1 }, (_, i) => (i <= owner ? 0 : size))];
      }),
    );
  }

  /** Rank r has elements `bounds[r]` to `bounds[r + 1]`. */
  boundsOf(name: string): readonly number[] {
    return this.#bounds.get(name)!;
  }

  /** This rank's elements. */
  rangeOf(name: string): Range {
    const bounds = this.boundsOf(name);
    return { start: bounds[this.rank]!, end: bounds[this.rank + 1]! };
  }
}

/**
 * The bounds of slices of almost the same length.
 *
 * @param unit slices begin at multiples of it: by default, at blocks of quantized states.
 */
export function evenBounds(size: number, ranks: number, unit = BLOCK): number[] {
  const units = Math.ceil(size / unit);
  return Array.from({ length: ranks + 1 }, (_, rank) =>
    Math.min(size, unit * Math.floor((units * rank) / ranks)),
  );
}
