import { Executable, type HostTensor } from '../../runtime/executable.ts';
import type { HeadParts, HeadStage } from './block-head.ts';
import { rowsGradientGraph, rowsLossGraph, SUMS } from './head-rows-graph.ts';

/** Bytes of the logits of one run. */
const LOGIT_BYTES = 64 * 2 ** 20;

/** The fewest rows of a run: with fewer, adding to the gradient of the weights costs more than the products. */
const LEAST_ROWS = 128;

/** The number of rows whose logits exist at the same time: runs of almost equal size. */
export function rowsAtATime(rows: number, vocabSize: number): number {
  const most = Math.max(LEAST_ROWS, Math.floor(LOGIT_BYTES / (4 * vocabSize)));
  const even = Math.ceil(rows / Math.ceil(rows / most));
  // The engine's products take steps of 16 rows.
  return Math.min(rows, most, Math.ceil(even / 16) * 16);
}

/**
 * Cross-entropy over a large vocabulary, some rows at a time: their logits are computed once, and used for the loss and all
 * gradients while they are in memory. The gradients of the weights are added up in place.
 */
export class RowsHead implements HeadStage {
  readonly trained: readonly string[];
  readonly gradients = 'add';
  #lossPass: Promise<Executable> | undefined;
  #gradientPass: Promise<Executable> | undefined;

  readonly #parts: HeadParts;
  readonly #rows: number;

  /** @param rows whose logits exist at the same time. */
  constructor(parts: HeadParts, rows: number) {
    this.#parts = parts;
    this.#rows = rows;
    const { weight, bias } = parts.model.head;
    this.trained = [weight, ...(bias ? [bias] : [])].map(({ path }) => path).filter(parts.trains);
  }

  async loss(hidden: Float32Array, feeds: Readonly<Record<string, HostTensor>>): Promise<number> {
    const { engine, settings } = this.#parts;
    this.#lossPass ??= Executable.compile(engine, rowsLossGraph(this.#parts, this.#rows), settings);
    const pass = await this.#lossPass;
    let loss = 0;
    for (const part of this.#runs(hidden, feeds)) loss += lossOf(await pass.run(part.feeds));
    return loss;
  }

  async backward(
    hidden: Float32Array,
    feeds: Readonly<Record<string, HostTensor>>,
    dHidden: Float32Array,
    gradients: ReadonlyMap<string, Float32Array>,
  ): Promise<number> {
    const { width, model } = this.#parts;
    const pass = await this.#gradients();
    const sums: Record<string, HostTensor> = {};
    const into: Record<string, Float32Array> = {};
    for (const [parameter, sum, name] of [
      [model.head.weight, SUMS.weight, 'dWeight'],
      [model.head.bias, SUMS.bias, 'dBias'],
    ] as const) {
      const data = parameter && gradients.get(parameter.path);
      if (!data) continue;
      sums[sum] = { data, shape: parameter.shape };
      into[name] = data;
    }
    let loss = 0;
    for (const { start, count, feeds: part } of this.#runs(hidden, feeds)) {
      const target = dHidden.subarray(start * width, (start + count) * width);
      const whole = count === this.#rows ? target : new Float32Array(this.#rows * width);
      loss += lossOf(await pass.run({ ...part, ...sums }, { dHidden: whole, ...into }));
      if (whole !== target) target.set(whole.subarray(0, target.length));
    }
    return loss;
  }

  async compile(): Promise<void> {
    await this.#gradients();
  }

  async release(): Promise<void> {
    await (await this.#lossPass)?.release();
    await (await this.#gradientPass)?.release();
  }

  #gradients(): Promise<Executable> {
    const { engine, settings } = this.#parts;
    this.#gradientPass ??= Executable.compile(engine, rowsGradientGraph(this.#parts, this.#rows), settings);
    return this.#gradientPass;
  }

  /** The feeds of every run. The last one is filled up with rows of weight 0, which add nothing. */
  *#runs(hidden: Float32Array, feeds: Readonly<Record<string, HostTensor>>) {
    const { model, values, rows, width } = this.#parts;
    const { weight, bias } = model.head;
    const targets = feeds.targets!.data as Int32Array;
    const weights = feeds.weights!.data as Float32Array;
    for (let start = 0; start < rows; start += this.#rows) {
      const count = Math.min(this.#rows, rows - start);
      const part = <A extends Float32Array | Int32Array>(data: A, each: number): HostTensor => {
        const own = data.subarray(start * each, (start + count) * each);
        const shape = [this.#rows, each];
        if (count === this.#rows) return { data: own, shape };
        const filled =
          data instanceof Float32Array ? new Float32Array(this.#rows * each) : new Int32Array(this.#rows);
        filled.set(own);
        return { data: filled, shape };
      };
      const own: Record<string, HostTensor> = {
        hidden: part(hidden, width),
        targets: part(targets, 1),
        weights: part(weights, 1),
        weight: { data: values.get(weight.path)!, shape: weight.shape },
        ...(bias && { bias: { data: values.get(bias.path)!, shape: bias.shape } }),
      };
      yield { start, count, feeds: own };
    }
  }
}

function lossOf(results: Readonly<Record<string, HostTensor>>): number {
  return (results.loss!.data as Float32Array)[0]!;
}
