import { addInto, fill } from '../../kernels/kernels.ts';
import type { OptimizedParameter } from '../optimizers/optimizer.ts';

/** Arrays for the gradients of some weights. */
export interface OpenGradients {
  readonly arrays: ReadonlyMap<string, Float32Array>;
  /** Marks the arrays as complete. */
  close(): Promise<void>;
}

/**
 * Receives gradients during backpropagation. A weight used in several places of a model (an embedding that is also
 * the head) is opened several times, and its gradients are summed.
 */
export interface GradientSink {
  /**
   * @param mode `write`: the caller overwrites the arrays with its contribution. `add`: it adds its contribution to
   *   them.
   */
  open(paths: readonly string[], mode: 'write' | 'add'): OpenGradients;
}

/** Keeps every gradient, summed over all micro-batches of a step. */
export class KeptGradients implements GradientSink {
  readonly #written = new Set<string>();
  #scratch = new Float32Array(0);

  readonly #gradients: ReadonlyMap<string, Float32Array>;

  constructor(readonly trainables: readonly OptimizedParameter[]) {
    this.#gradients = new Map(trainables.map(({ name, gradient }) => [name, gradient]));
  }

  /** Begins a step: the next writes replace the previous gradients. */
  begin(): void {
    this.#written.clear();
  }

  open(paths: readonly string[], mode: 'write' | 'add'): OpenGradients {
    const again = paths.filter((path) => mode === 'write' && this.#written.has(path));
    const shares = again.length > 0 ? this.#shares(again) : undefined;
    const arrays = new Map(paths.map((path) => [path, shares?.get(path) ?? this.#gradients.get(path)!]));
    for (const path of paths) {
      if (mode === 'add' && !this.#written.has(path)) fill(this.#gradients.get(path)!, 0);
      this.#written.add(path);
    }
    const close = async () => {
      for (const [path, share] of shares ?? []) addInto(this.#gradients.get(path)!, share);
    };
    return { arrays, close };
  }

  /**
   * Arrays for further contributions to weights that already have a gradient, allocated once for the largest stage.
   */
  #shares(paths: readonly string[]): Map<string, Float32Array> {
    const size = (path: string) => this.#gradients.get(path)!.length;
    const total = paths.reduce((sum, path) => sum + size(path), 0);
    if (this.#scratch.length < total) this.#scratch = new Float32Array(total);
    let start = 0;
    return new Map(
      paths.map((path) => {
        const end = start + size(path);
        const share = this.#scratch.subarray(start, end);
        start = end;
        return [path, share];
      }),
    );
  }
}
