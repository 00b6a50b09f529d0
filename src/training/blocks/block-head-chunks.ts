import { addInto } from '../../kernels/kernels.ts';
import { Executable, type HostTensor } from '../../runtime/executable.ts';
import type { HostMemory } from '../../runtime/host-memory.ts';
import type { HeadParts, HeadStage } from './block-head.ts';
import { chunkGradientGraph, chunkLossGraph } from './head-chunk-graphs.ts';

/** Bytes of the logits of one chunk. */
const CHUNK_BYTES = 64 * 2 ** 20;

/** The most bytes of logits that may be kept between the passes: this saves a third of the head's products. */
export const KEPT_BYTES = 256 * 2 ** 20;

/**
 * The number of vocabulary entries whose logits, for all rows, exist at the same time: chunks of almost equal size.
 */
export function vocabularyChunk(rows: number, vocabSize: number): number {
  const most = Math.max(64, Math.floor(CHUNK_BYTES / (4 * rows)));
  return Math.ceil(vocabSize / Math.ceil(vocabSize / most));
}

/** A chunk's part of the head's weights. */
export interface HeadChunk {
  readonly weight: Float32Array;
  readonly bias?: Float32Array;
}

/** Where the gradients of a chunk's trained weights are to be written. */
export interface HeadChunkGradients {
  readonly dWeight?: Float32Array;
  readonly dBias?: Float32Array;
}

/** The head's weights and gradients, chunk by chunk. A chunk's entries need not be neighbors in the vocabulary. */
export interface HeadChunks {
  /** Entries of each chunk. */
  readonly sizes: readonly number[];
  /** The place of an id in a chunk; undefined if it is in another one. */
  place(chunk: number, id: number): number | undefined;
  /** The chunk's weights, until the next one is opened. */
  open(chunk: number): Promise<HeadChunk>;
  gradients(chunk: number): HeadChunkGradients;
  /** Called when the gradients of a chunk are written. */
  written(chunk: number): Promise<void>;
}

/** Chunks of weights that are in memory as wholes. */
export class WholeHeadChunks implements HeadChunks {
  readonly sizes: readonly number[];
  readonly #parts: HeadParts;
  readonly #chunk: number;
  /** Of the step, by path. */
  into: ReadonlyMap<string, Float32Array> = new Map();

  /** @param chunk vocabulary entries per chunk. */
  constructor(parts: HeadParts, chunk: number) {
    this.#parts = parts;
    this.#chunk = chunk;
    const vocabSize = parts.model.head.weight.shape[0]!;
    this.sizes = Array.from({ length: Math.ceil(vocabSize / chunk) }, (_, i) =>
      Math.min(chunk, vocabSize - i * chunk),
    );
  }

  place(chunk: number, id: number): number | undefined {
    const place = id - chunk * this.#chunk;
    return place >= 0 && place < this.sizes[chunk]! ? place : undefined;
  }

  async open(chunk: number): Promise<HeadChunk> {
    const { values, model, width } = this.#parts;
    const { weight, bias } = model.head;
    return {
      weight: this.#part(values.get(weight.path)!, chunk, width),
      ...(bias && { bias: this.#part(values.get(bias.path)!, chunk, 1) }),
    };
  }

  gradients(chunk: number): HeadChunkGradients {
    const { model, width } = this.#parts;
    const { weight, bias } = model.head;
    const dWeight = this.into.get(weight.path);
    const dBias = bias && this.into.get(bias.path);
    return {
      ...(dWeight && { dWeight: this.#part(dWeight, chunk, width) }),
      ...(dBias && { dBias: this.#part(dBias, chunk, 1) }),
    };
  }

  async written(): Promise<void> {}

  #part(data: Float32Array, chunk: number, width: number): Float32Array {
    const start = chunk * this.#chunk * width;
    return data.subarray(start, start + this.sizes[chunk]! * width);
  }
}

/**
 * Cross-entropy over a large vocabulary, chunk by chunk: neither the logits of all entries nor a second copy of the
 * head's gradient ever exists. The first pass over the chunks computes each row's log Σ exp; the second recomputes
 * the chunk's logits and writes its part of the gradients directly to its place.
 */
export class ChunkedHead implements HeadStage {
  readonly trained: readonly string[];
  readonly gradients = 'write';
  readonly #passes = new Map<string, Promise<Executable>>();
  readonly #scratch: Float32Array;
  /** The logits of all chunks between the passes, if they are kept. */
  readonly #logits: Float32Array | undefined;

  readonly #parts: HeadParts;
  readonly #chunks: HeadChunks;

  /**
   * @param memory where logits may be kept, if all of them are at most 256 MiB.
   */
  constructor(parts: HeadParts, chunks: HeadChunks, memory?: HostMemory) {
    this.#parts = parts;
    this.#chunks = chunks;
    const { weight, bias } = parts.model.head;
    const all = [weight, ...(bias ? [bias] : [])].map(({ path }) => path);
    this.trained = all.filter(parts.trains);
    this.#scratch = new Float32Array(parts.rows * parts.width);
    const size = parts.rows * weight.shape[0]!;
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
    const { rows } = this.#parts;
    const chunks = this.#chunks;
    if (chunks instanceof WholeHeadChunks) chunks.into = gradients;
    const { loss, logSumExp } = await this.#measure(hidden, feeds, this.#logits ? 'loss and logits' : 'loss');
    const column = (data: Float32Array) => ({ data, shape: [rows, 1] });
    const targets = feeds.targets!.data as Int32Array;
    for (const [chunk, size] of chunks.sizes.entries()) {
      const hit = Float32Array.from(targets, (id) => (chunks.place(chunk, id) === undefined ? 0 : -1));
      const pass = await this.#pass('gradients', size);
      const given = await chunks.open(chunk);
      const into = chunk === 0 ? dHidden : this.#scratch;
      await pass.run(
        {
          ...this.#feeds(hidden, targets, chunk, given),
          log_sum_exp: column(logSumExp),
          weights: column(feeds.weights!.data as Float32Array),
          hit: column(hit),
          ...(this.#logits && {
            logits: { data: this.#keptLogits(chunk)!, shape: [rows, size] },
          }),
        },
        { dHidden: into, ...chunks.gradients(chunk) },
      );
      await chunks.written(chunk);
      if (chunk > 0) addInto(dHidden, this.#scratch);
    }
    return loss;
  }

  async compile(): Promise<void> {
    for (const size of this.#chunks.sizes) {
      await this.#pass(this.#logits ? 'loss and logits' : 'loss', size);
      await this.#pass('gradients', size);
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
    for (const [chunk, size] of this.#chunks.sizes.entries()) {
      const pass = await this.#pass(kind, size);
      const into: Record<string, Float32Array> = kind === 'loss' ? {} : { logits: this.#keptLogits(chunk)! };
      const given = await this.#chunks.open(chunk);
      const results = await pass.run(this.#feeds(hidden, targets, chunk, given), into);
      const part = results.log_sum_exp!.data as Float32Array;
      const logits = results.target_logits!.data as Float32Array;
      for (let row = 0; row < rows; row++) {
        logSumExp[row] = logAddExp(logSumExp[row]!, part[row]!);
        if (this.#chunks.place(chunk, targets[row]!) !== undefined) targetLogits[row] = logits[row]!;
      }
    }
    const weights = feeds.weights!.data as Float32Array;
    let loss = 0;
    for (let row = 0; row < rows; row++) loss += weights[row]! * (logSumExp[row]! - targetLogits[row]!);
    return { loss, logSumExp: Float32Array.from(logSumExp) };
  }

  #feeds(hidden: Float32Array, targets: Int32Array, chunk: number, { weight, bias }: HeadChunk) {
    const { rows, width } = this.#parts;
    const size = this.#chunks.sizes[chunk]!;
    // What is read for targets of other chunks is not used.
    const places = Int32Array.from(targets, (id) => this.#chunks.place(chunk, id) ?? 0);
    const feeds: Record<string, HostTensor> = {
      hidden: { data: hidden, shape: [rows, width] },
      places: { data: places, shape: [rows, 1] },
      weight: { data: weight, shape: [size, width] },
    };
    if (bias) feeds.bias = { data: bias, shape: [size] };
    return feeds;
  }

  #pass(kind: 'loss' | 'loss and logits' | 'gradients', size: number): Promise<Executable> {
    const key = `${kind} ${size}`;
    const known = this.#passes.get(key);
    if (known) return known;
    const graph =
      kind === 'gradients'
        ? chunkGradientGraph(this.#parts, size, this.#logits !== undefined)
        : chunkLossGraph(this.#parts, size, kind === 'loss and logits');
    const pass = Executable.compile(this.#parts.engine, graph, this.#parts.settings);
    this.#passes.set(key, pass);
    return pass;
  }

  #keptLogits(chunk: number): Float32Array | undefined {
    const { rows } = this.#parts;
    const { sizes } = this.#chunks;
    const start = sizes.slice(0, chunk).reduce((sum, size) => sum + size, 0);
    return this.#logits?.subarray(start * rows, (start + sizes[chunk]!) * rows);
  }
}

/** log(exp(a) + exp(b)) */
function logAddExp(a: number, b: number): number {
  const most = Math.max(a, b);
  return Number.isFinite(most) ? most + Math.log(Math.exp(a - most) + Math.exp(b - most)) : a + b;
}
