import {
  add,
  addAlong,
  exp,
  input,
  log,
  matmul,
  mul,
  parameter,
  reduceMax,
  reshape,
  scalar,
  softcap,
  softmax,
  sub,
  takeAlong,
} from '../../graph/operators/index.ts';
import type { Tensor } from '../../graph/tensor.ts';
import { addInto } from '../../kernels/kernels.ts';
import { Executable, type HostTensor } from '../../runtime/executable.ts';
import type { HostMemory } from '../../runtime/host-memory.ts';
import type { HeadParts, HeadStage } from './block-head.ts';

/** Bytes of the logits of one chunk. */
const CHUNK_BYTES = 64 * 2 ** 20;

/** The most bytes of logits that may be kept between the passes: this saves a third of the head's products. */
const KEPT_BYTES = 256 * 2 ** 20;

/**
 * The number of vocabulary entries whose logits, for all rows, exist at the same time: chunks of almost equal size.
 */
export function vocabularyChunk(rows: number, vocabSize: number): number {
  const most = Math.max(64, Math.floor(CHUNK_BYTES / (4 * rows)));
  return Math.ceil(vocabSize / Math.ceil(vocabSize / most));
}

/**
 * Cross-entropy over a large vocabulary, chunk by chunk: neither the logits of all entries nor a second copy of the
 * head's gradient ever exists. The first pass over the chunks computes each row's log Σ exp; the second recomputes
 * the chunk's logits and writes its part of the gradients directly to its place.
 */
export class ChunkedHead implements HeadStage {
  readonly trained: readonly string[];
  readonly #passes = new Map<string, Promise<Executable>>();
  readonly #scratch: Float32Array;
  readonly #vocabSize: number;
  /** The logits of all chunks between the passes, if they are kept. */
  readonly #logits: Float32Array | undefined;

  readonly #parts: HeadParts;
  readonly #chunk: number;

  /**
   * @param chunk vocabulary entries per chunk.
   * @param memory where logits may be kept, if all of them are at most 256 MiB.
   */
  constructor(parts: HeadParts, chunk: number, memory?: HostMemory) {
    this.#parts = parts;
    this.#chunk = chunk;
    const { weight, bias } = parts.model.head;
    const all = [weight, ...(bias ? [bias] : [])].map(({ path }) => path);
    this.trained = all.filter(parts.trains);
    this.#vocabSize = weight.shape[0]!;
    this.#scratch = new Float32Array(parts.rows * parts.width);
    const size = parts.rows * this.#vocabSize;
    this.#logits = memory && 4 * size <= KEPT_BYTES ? memory.allocFloat32(size) : undefined;
  }

  async loss(hidden: Float32Array, feeds: Readonly<Record<string, HostTensor>>): Promise<number> {
    return (await this.#measure(hidden, feeds, 'loss')).loss;
  }

  async backward(
    hidden: Float32Array,
    feeds: Readonly<Record<string, HostTensor>>,
    dHidden: Float32Array,
    gradients: ReadonlyMap<string, Float32Array>,
  ): Promise<number> {
    const { rows, width, model } = this.#parts;
    const { loss, logSumExp } = await this.#measure(hidden, feeds, this.#logits ? 'loss and logits' : 'loss');
    const column = (data: Float32Array) => ({ data, shape: [rows, 1] });
    const targets = feeds.targets!.data as Int32Array;
    for (const { start, end } of this.#chunks()) {
      const hit = Float32Array.from(targets, (id) => (id >= start && id < end ? -1 : 0));
      const pass = await this.#pass('gradients', end - start);
      const part = (path: string, size: number) => gradients.get(path)?.subarray(start * size, end * size);
      const { weight, bias } = model.head;
      const dWeight = part(weight.path, width);
      const dBias = bias && part(bias.path, 1);
      const into = start === 0 ? dHidden : this.#scratch;
      await pass.run(
        {
          ...this.#feeds(hidden, targets, start, end),
          log_sum_exp: column(logSumExp),
          weights: column(feeds.weights!.data as Float32Array),
          hit: column(hit),
          ...(this.#logits && {
            logits: { data: this.#keptLogits(start, end)!, shape: [rows, end - start] },
          }),
        },
        { dHidden: into, ...(dWeight && { dWeight }), ...(dBias && { dBias }) },
      );
      if (start > 0) addInto(dHidden, this.#scratch);
    }
    return loss;
  }

  async compile(): Promise<void> {
    for (const { start, end } of this.#chunks()) {
      await this.#pass(this.#logits ? 'loss and logits' : 'loss', end - start);
      await this.#pass('gradients', end - start);
    }
  }

  async release(): Promise<void> {
    for (const pass of this.#passes.values()) await (await pass).release();
  }

  /** Σ weight · loss, and log Σ exp(logits) of each row. */
  async #measure(
    hidden: Float32Array,
    feeds: Readonly<Record<string, HostTensor>>,
    kind: 'loss' | 'loss and logits',
  ) {
    const { rows } = this.#parts;
    const targets = feeds.targets!.data as Int32Array;
    const logSumExp = new Float64Array(rows).fill(Number.NEGATIVE_INFINITY);
    const targetLogits = new Float64Array(rows);
    for (const { start, end } of this.#chunks()) {
      const pass = await this.#pass(kind, end - start);
      const into: Record<string, Float32Array> =
        kind === 'loss' ? {} : { logits: this.#keptLogits(start, end)! };
      const results = await pass.run(this.#feeds(hidden, targets, start, end), into);
      const part = results.log_sum_exp!.data as Float32Array;
      const logits = results.target_logits!.data as Float32Array;
      for (let row = 0; row < rows; row++) {
        logSumExp[row] = logAddExp(logSumExp[row]!, part[row]!);
        const id = targets[row]!;
        if (id >= start && id < end) targetLogits[row] = logits[row]!;
      }
    }
    const weights = feeds.weights!.data as Float32Array;
    let loss = 0;
    for (let row = 0; row < rows; row++) loss += weights[row]! * (logSumExp[row]! - targetLogits[row]!);
    return { loss, logSumExp: Float32Array.from(logSumExp) };
  }

  *#chunks(): Generator<{ start: number; end: number }> {
    for (let start = 0; start < this.#vocabSize; start += this.#chunk) {
      yield { start, end: Math.min(this.#vocabSize, start + this.#chunk) };
    }
  }

  #feeds(hidden: Float32Array, targets: Int32Array, start: number, end: number) {
    const { rows, width, values, model } = this.#parts;
    const { weight, bias } = model.head;
    // Targets of other chunks are clamped to the chunk's edges; what is read there is not used.
    const places = Int32Array.from(targets, (id) => Math.min(end - start - 1, Math.max(0, id - start)));
    const feeds: Record<string, HostTensor> = {
      hidden: { data: hidden, shape: [rows, width] },
      places: { data: places, shape: [rows, 1] },
      weight: {
        data: values.get(weight.path)!.subarray(start * width, end * width),
        shape: [end - start, width],
      },
    };
    if (bias) feeds.bias = { data: values.get(bias.path)!.subarray(start, end), shape: [end - start] };
    return feeds;
  }

  #pass(kind: 'loss' | 'loss and logits' | 'gradients', size: number): Promise<Executable> {
    const key = `${kind} ${size}`;
    const known = this.#passes.get(key);
    if (known) return known;
    const graph =
      kind === 'gradients' ? this.#gradientGraph(size) : this.#lossGraph(size, kind === 'loss and logits');
    const pass = Executable.compile(this.#parts.engine, graph, this.#parts.settings);
    this.#passes.set(key, pass);
    return pass;
  }

  #computeLogits(size: number) {
    const { rows, width, model } = this.#parts;
    const hidden = input('hidden', 'float32', [rows, width]);
    const weight = parameter('weight', [size, width]);
    let logits = matmul(hidden, weight, { transB: true });
    if (model.head.bias) logits = add(logits, parameter('bias', [size]));
    if (model.head.softcap !== null) logits = softcap(logits, model.head.softcap);
    return { hidden, weight, logits, places: input('places', 'int32', [rows, 1]) };
  }

  #keptLogits(start: number, end: number): Float32Array | undefined {
    const { rows } = this.#parts;
    return this.#logits?.subarray(start * rows, end * rows);
  }

  #lossGraph(size: number, keeps: boolean): Map<string, Tensor> {
    const { logits, places } = this.#computeLogits(size);
    // log Σ exp from the largest probability, which is at least 1 / size: no underflow.
    const largest = reduceMax(softmax(logits), [1]);
    return new Map([
      ['log_sum_exp', sub(reduceMax(logits, [1]), log(largest))],
      ['target_logits', takeAlong(logits, places)],
      ...(keeps ? [['logits', logits] as const] : []),
    ]);
  }

  #gradientGraph(size: number): Map<string, Tensor> {
    const { rows, model, trains } = this.#parts;
    const computed = this.#computeLogits(size);
    const { hidden, weight, places } = computed;
    const logits = this.#logits ? input('logits', 'float32', [rows, size]) : computed.logits;
    const column = (name: string) => input(name, 'float32', [rows, 1]);
    const weights = column('weights');
    // d loss / d logits = weight · (probs − onehot). The row's weight is applied to the narrow side of each product.
    let dLogits = addAlong(exp(sub(logits, column('log_sum_exp'))), places, column('hit'));
    const { softcap: cap, bias } = model.head;
    if (cap !== null) {
      const t = mul(logits, scalar(1 / cap));
      dLogits = mul(dLogits, sub(scalar(1), mul(t, t)));
    }
    const outputs = new Map([['dHidden', mul(matmul(dLogits, weight), weights)]]);
    if (trains(model.head.weight.path)) {
      outputs.set('dWeight', matmul(dLogits, mul(hidden, weights), { transA: true }));
    }
    if (bias && trains(bias.path)) {
      outputs.set('dBias', reshape(matmul(weights, dLogits, { transA: true }), [size]));
    }
    return outputs;
  }
}

/** log(exp(a) + exp(b)) */
function logAddExp(a: number, b: number): number {
  const most = Math.max(a, b);
  return Number.isFinite(most) ? most + Math.log(Math.exp(a - most) + Math.exp(b - most)) : a + b;
}
