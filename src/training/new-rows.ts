import { RopewalkError } from '../errors.ts';
import type { OptimizedParameter, Optimizer, OptimizerState, StepSettings } from './optimizers/optimizer.ts';

/** Ids of tokens in a row: `first` … `first + count − 1`. */
export interface TokenRange {
  readonly first: number;
  readonly count: number;
}

/** The beginning of a run, in which only the rows of new tokens are trained. */
export interface NewRowsPhase {
  /** Steps of the run that it takes. */
  readonly steps: number;
  readonly ranges: readonly TokenRange[];
  /** The weights with a row for each token, by path, and their numbers of rows. */
  readonly tables: ReadonlyMap<string, number>;
}

/**
 * The rows of new tokens in some parameters, as parameters of their own: runs of the same memory. What has no such rows is
 * left out.
 */
export function newRowsOf<
  P extends Pick<OptimizedParameter, 'name' | 'shape' | 'value'> & { gradient?: Float32Array },
>(parameters: Iterable<P>, { ranges, tables }: Pick<NewRowsPhase, 'ranges' | 'tables'>): P[] {
  const found: P[] = [];
  for (const parameter of parameters) {
    const { name, shape, value, gradient } = parameter;
    const rows = tables.get(name);
    if (rows === undefined) continue;
    const width = value.length / rows;
    for (const { first, count } of ranges) {
      const part = (values: Float32Array) => values.subarray(first * width, (first + count) * width);
      found.push({
        ...parameter,
        name: `${name}[${first}:${first + count}]`,
        shape: [count, ...shape.slice(1)],
        value: part(value),
        ...(gradient && { gradient: part(gradient) }),
      });
    }
  }
  return found;
}

/**
 * Two optimizers for one run: one of the rows of new tokens, which its first steps update alone, and one of whole weights,
 * whose state stays as it is until then. Parameters go to the one that has them.
 */
export class NewRowsOptimizer implements Optimizer {
  readonly #whole: Optimizer;
  readonly #rows: Optimizer;
  readonly #rowNames: ReadonlySet<string>;

  /** @param rowNames what {@link newRowsOf} calls the rows */
  constructor(whole: Optimizer, rows: Optimizer, rowNames: Iterable<string>) {
    this.#whole = whole;
    this.#rows = rows;
    this.#rowNames = new Set(rowNames);
  }

  step(parameters: Iterable<OptimizedParameter>, settings: StepSettings): void {
    const [rows, whole]: [OptimizedParameter[], OptimizedParameter[]] = [[], []];
    for (const parameter of parameters) (this.#rowNames.has(parameter.name) ? rows : whole).push(parameter);
    if (rows.length > 0) this.#rows.step(rows, settings);
    if (whole.length > 0) this.#whole.step(whole, settings);
  }

  /** The states of both. */
  state(): OptimizerState {
    const [whole, rows] = [this.#whole.state(), this.#rows.state()];
    return {
      steps: { ...whole.steps, ...rows.steps },
      tensors: new Map([...whole.tensors, ...rows.tensors]),
    };
  }

  restore({ steps, tensors }: OptimizerState): void {
    const part = (isOf: (name: string) => boolean): OptimizerState => ({
      steps: Object.fromEntries(Object.entries(steps).filter(([name]) => isOf(name))),
      tensors,
    });
    const isRow = (name: string) => this.#rowNames.has(name);
    const rows = part(isRow);
    if (Object.keys(rows.steps).length < Object.keys(this.#rows.state().steps).length) {
      throw new RopewalkError(
        'the saved state of the optimizer has no rows of new tokens; it is of another run.',
      );
    }
    this.#rows.restore(rows);
    this.#whole.restore(part((name) => !isRow(name)));
  }
}
