import { option, RopewalkError, said } from '../errors.ts';
import type { CausalLM } from '../families/family.ts';
import { symbol } from '../graph/dims.ts';
import { hasFusedAttention, input, linear, softcap, takeRows } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { type AttentionSettings, CachedSequence, FullSequence } from '../nn/attention.ts';
import type { LayoutCache } from '../onnx/layout-cache.ts';
import type { WeightSource } from '../onnx/weights.ts';
import type { DeviceTensor } from '../runtime/device.ts';
import { dialectOf, type Engine } from '../runtime/engine.ts';
import { type CompileOptions, Executable, type HostTensor } from '../runtime/executable.ts';
import { rowsOfSameBits } from '../runtime/row-bits.ts';
import { BatchCache } from './cache/batch-cache.ts';
import { KeyValueCache, type NewRows } from './cache/key-value-cache.ts';
import { RotaryAngles } from './cache/rotary-angles.ts';
import { writtenFeeds } from './cache/written-rows.ts';
import { attentions, type DecoderDevice, openDevice } from './decoder-device.ts';

/** Hidden states → logits, including the final cap. hidden `[…, width]` → `[…, vocab]`. */
export function logitsOf(model: CausalLM, hidden: Tensor): Tensor {
  const { weight, bias, softcap: cap } = model.head;
  const logits = linear(hidden, weight.tensor, bias?.tensor);
  return cap === null ? logits : softcap(logits, cap);
}

/** Logits of whole sequences without a cache: input `input_ids` `[batch · seq]`, output `logits` `[batch · seq, vocab]`. */
export function fullLogitsGraph(
  model: CausalLM,
  batch: number,
  seq: number,
  queryBlock?: number,
): Map<string, Tensor> {
  const ids = input('input_ids', 'int32', [batch * seq]);
  return new Map([
    ['logits', logitsOf(model, model.hiddenStates(new FullSequence(ids, batch, seq, queryBlock)))],
  ]);
}

/** Which rows of logits a run returns: the last token's, or all. */
export type LogitPositions = 'last' | 'all';

/** A model that continues sequences, one run per chunk of new tokens. */
export class Decoder {
  readonly #angles: readonly RotaryAngles[];

  readonly #executable: Executable;
  readonly #context: CachedSequence;
  readonly #onRelease: () => void;
  readonly #borrowed: Readonly<Record<string, HostTensor>>;
  readonly #device: DecoderDevice | undefined;

  private constructor(
    readonly model: CausalLM,
    executable: Executable,
    context: CachedSequence,
    onRelease: () => void,
    /** Weights that are graph inputs rather than initializers. */
    borrowed: Readonly<Record<string, HostTensor>> = {},
    /**
     * How many rows can run together with the same numbers as alone. Infinity if activations keep their precision:
     * the results then differ at most by the order of sums, about 1e-6. With 8-bit activations, a sum that differs in
     * its last bit can round to another step, and within a few layers that grows to some percent of a logit.
     */
    readonly sameRows: number = Number.POSITIVE_INFINITY,
    device?: DecoderDevice,
  ) {
    this.#device = device;
    this.#executable = executable;
    this.#context = context;
    this.#onRelease = onRelease;
    this.#borrowed = borrowed;
    this.#angles = context.tableRopes.map(
      (rope) => new RotaryAngles(rope, model.maxPositions, device?.memory),
    );
  }

  /**
   * @param weights every parameter by its path.
   * @param onRelease called when the decoder is released: closes the source of the weights.
   */
  static async create(
    engine: Engine,
    model: CausalLM,
    weights: ReadonlyMap<string, WeightSource>,
    settings: Omit<CompileOptions, 'weights'> = {},
    onRelease: () => void = () => {},
  ): Promise<Decoder> {
    const device = await openDevice(engine, model);
    try {
      const { context, outputs } = recordDecoder(engine, model, device);
      const sources = device ? lookedUpThere(model, weights) : weights;
      const executable = await Executable.compile(engine, outputs, { ...settings, weights: sources });
      return new Decoder(
        model,
        executable,
        context,
        onRelease,
        {},
        await rowsTogether(engine, weights),
        device,
      );
    } catch (error) {
      await device?.release();
      throw error;
    }
  }

  /** Keeps the weights as {@link create} would. @returns whether they are kept. */
  static keepWeights(
    engine: Engine,
    model: CausalLM,
    options: CompileOptions & { readonly layouts: LayoutCache },
  ): Promise<boolean> {
    return Executable.keepWeights(engine, recordDecoder(engine, model).outputs, options);
  }

  /**
   * A decoder over arrays that keep changing, such as a learner's: they are read again in every run, without a copy.
   * Slower than {@link create}, since the engine cannot prepare them.
   *
   * @param values every parameter by its path.
   */
  static async borrowing(
    engine: Engine,
    model: CausalLM,
    values: ReadonlyMap<string, Float32Array>,
  ): Promise<Decoder> {
    const made = await Decoder.create(engine, model, new Map());
    const executable = made.#executable;
    const context = made.#context;
    const parameters = model.parameters();
    const borrowed = [...values].map(([path, data]) => [path, { data, shape: parameters.get(path)!.shape }]);
    const release = () => {};
    const given = Object.fromEntries(borrowed);
    return new Decoder(model, executable, context, release, given, made.sameRows, made.#device);
  }

  /** An empty cache for one sequence. */
  newCache(): KeyValueCache {
    return new KeyValueCache(this.#context.layers, this.#newRows);
  }

  /**
   * Runs new tokens after those in the cache and appends them to it.
   *
   * @param rows which logits to return.
   * @returns logits `[1, vocab]` of the last token, or `[tokens, vocab]`.
   * @throws RopewalkError for ids outside the vocabulary and for sequences longer than the model's positions.
   */
  async forward(
    ids: ArrayLike<number>,
    cache: KeyValueCache,
    rows: LogitPositions = 'last',
  ): Promise<Float32Array> {
    const time = ids.length;
    const start = cache.position;
    if (time === 0) throw new RopewalkError('there are no tokens to run.');
    checkPositions(this.model, start + time);
    checkIds(ids, this.model.config.vocab_size);
    const most = this.#device?.tokensAtOnce ?? Number.POSITIVE_INFINITY;
    if (time > most) return this.#inPieces(Int32Array.from(ids), cache, rows, most);
    const positions = Int32Array.from({ length: time }, (_, i) => start + i);
    const caches = cache.feeds(time);
    const feeds = {
      ...caches,
      ...this.#writtenFeeds(caches, time),
      ...this.#tokenFeeds(Int32Array.from(ids), positions, 1, rows),
    };
    const results = await this.#executable.run(feeds, this.#context.inPlace ? overThemselves(caches) : {});
    if (this.#context.inPlace) cache.advance(time);
    else cache.append(results.new_rows!.data as Float32Array, time);
    return results.logits!.data as Float32Array;
  }

  /** {@link forward}, by `size` tokens at a time. */
  async #inPieces(ids: Int32Array, cache: KeyValueCache, rows: LogitPositions, size: number) {
    const pieces: Float32Array[] = [];
    for (let start = 0; start < ids.length; start += size) {
      const logits = await this.forward(ids.subarray(start, start + size), cache, rows);
      if (rows === 'last') pieces.length = 0;
      pieces.push(logits);
    }
    if (pieces.length === 1) return pieces[0]!;
    const all = new Float32Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  /** Whether {@link forwardBatch} works: the engine must be able to write caches in place. */
  get runsBatches(): boolean {
    return this.#context.inPlace;
  }

  /** Whether activations in products are rounded to 8 bits; see {@link sameRows}. */
  get roundsActivations(): boolean {
    return this.sameRows < Number.POSITIVE_INFINITY;
  }

  /** Refuses operations that need the same numbers for any number of rows. */
  requireExactActivations(what: string): void {
    if (!this.roundsActivations) return;
    throw new RopewalkError(
      said`${what} runs several tokens at once, which would change the text with 8-bit activations; load the model with exact activations (${option('activations', 'exact')}).`,
    );
  }

  /** @param sequences the capacity. */
  newBatchCache(sequences: number): BatchCache {
    return new BatchCache(this.#context.layers, sequences, this.#newRows);
  }

  /**
   * Runs one new token of each sequence of a batch, and appends them to their caches: the weights are read once for
   * all.
   *
   * @param ids one per sequence.
   * @returns logits `[sequences, vocab]`, equal to those of {@link forward} up to the order of sums.
   * @throws RopewalkError like {@link forward}, and if {@link runsBatches} is false.
   */
  async forwardBatch(ids: ArrayLike<number>, cache: BatchCache): Promise<Float32Array> {
    if (!this.runsBatches) {
      throw new RopewalkError(
        'several sequences at once are not supported by this engine, or by models whose head size is not a multiple of 8; run them one after another.',
      );
    }
    const { positions } = cache;
    if (ids.length === 0 || ids.length !== positions.length) {
      throw new RopewalkError(`the batch has ${positions.length} sequences, but got ${ids.length} tokens.`);
    }
    checkPositions(this.model, Math.max(...positions) + 1);
    checkIds(ids, this.model.config.vocab_size);
    const caches = cache.feeds();
    const tokens = this.#tokenFeeds(Int32Array.from(ids), Int32Array.from(positions), ids.length, 'last');
    const results = await this.#executable.run(
      { ...caches, ...this.#writtenFeeds(caches, 1), ...tokens },
      overThemselves(caches),
    );
    cache.advance();
    return results.logits!.data as Float32Array;
  }

  /** Bytes that all runs took and returned in the memory of the process: for a device, what crossed to it and back. */
  get traffic(): { readonly written: number; readonly read: number } {
    const { written, read } = this.#executable.traffic;
    const moved = this.#device?.memory.traffic ?? { written: 0, read: 0 };
    return { written: written + moved.written, read: read + moved.read };
  }

  /** Bytes of caches and tables in the memory of the device; undefined if there is none. */
  get deviceBytes(): number | undefined {
    return this.#device?.memory.byteLength;
  }

  /** Frees the engine's memory; nothing can be run afterwards. */
  async release(): Promise<void> {
    await this.#executable.release();
    await this.#device?.release();
    this.#onRelease();
  }

  /** Ends ONNX Runtime's profiles and writes their files; see `SessionSettings.profile`. */
  endProfiling(): void {
    this.#executable.endProfiling();
  }

  #writtenFeeds(caches: Record<string, Fed>, time: number): Record<string, Fed> {
    return this.#device ? writtenFeeds(this.#context.written, caches, time, this.#device.rowNumbers) : {};
  }

  get #newRows(): NewRows | undefined {
    const store = this.#device?.store;
    return store && ((layer, sequences) => store.rows(layer, sequences));
  }

  /** ids and positions `[batch · time]`, sequence by sequence. */
  #tokenFeeds(ids: Int32Array, positions: Int32Array, batch: number, rows: LogitPositions) {
    const time = ids.length / batch;
    const wanted = rows === 'last' ? [time - 1] : Array.from({ length: time }, (_, i) => i);
    const feeds: Record<string, HostTensor | DeviceTensor> = {
      ...this.#borrowed,
      input_ids: { data: ids, shape: [batch, time] },
      position_ids: { data: positions, shape: [batch, time] },
      logit_rows: { data: Int32Array.from(wanted), shape: [wanted.length] },
    };
    this.#context.ropes.forEach((rope, i) => {
      const { cos, sin } = rope.table(positions);
      const shape = [batch, time, rope.headDim / 2];
      feeds[`rope.${i}.cos`] = { data: cos, shape };
      feeds[`rope.${i}.sin`] = { data: sin, shape };
    });
    const needed = Math.max(...positions) + 1;
    for (const [i, angles] of this.#angles.entries()) {
      Object.assign(feeds, angles.feeds(`rope_table.${i}`, needed));
    }
    return feeds;
  }
}

/**
 * The graph of a decoder.
 *
 * @param device where caches are, if not in the memory of the process.
 */
function recordDecoder(engine: Engine, model: CausalLM, device?: DecoderDevice) {
  const dialect = dialectOf(engine);
  // On a device whose memory we cannot use, the kernels would copy caches there and back.
  const kernels = device ? device.kernels : dialect !== 'webgpu';
  const fused = (settings: AttentionSettings) => kernels && hasFusedAttention(settings, dialect);
  const inPlace = device !== undefined || (engine.sharesBuffers && attentions(model).every(fused));
  const context = new CachedSequence({ inPlace, fused });
  const rows = input('logit_rows', 'int32', [symbol('logit_rows')]);
  const hidden = takeRows(model.hiddenStates(context), rows);
  return { context, outputs: new Map([['logits', logitsOf(model, hidden)], ...context.outputs()]) };
}

/** A table that a product on the device reads is there anyway: its rows are then not looked up on the host. */
function lookedUpThere(
  model: CausalLM,
  weights: ReadonlyMap<string, WeightSource>,
): Map<string, WeightSource> {
  const sources = new Map(weights);
  for (const [path, parameter] of model.parameters()) {
    const source = weights.get(path);
    if (parameter !== model.head.weight || !source?.rows || 'quantized' in source) continue;
    const { rows: _, ...table } = source;
    sources.set(path, table);
  }
  return sources;
}

/** See `Decoder.sameRows`. */
async function rowsTogether(engine: Engine, weights: ReadonlyMap<string, WeightSource>): Promise<number> {
  let rows = Number.POSITIVE_INFINITY;
  for (const source of weights.values()) {
    if ('quantized' in source && !source.quantized.exact)
      rows = Math.min(rows, await rowsOfSameBits(engine, source.quantized));
  }
  return rows;
}

type Fed = HostTensor | DeviceTensor;

/** Caches as the targets for their updated versions. */
function overThemselves(caches: Record<string, Fed>): Record<string, Fed> {
  const isCache = ([name]: [string, Fed]) => name.startsWith('cache.');
  return Object.fromEntries(
    Object.entries(caches)
      .filter(isCache)
      .map(([name, tensor]) => [`new.${name}`, tensor]),
  );
}

/** Refuses sequences longer than the model's positions. */
export function checkPositions(model: CausalLM, length: number): void {
  if (length > model.maxPositions) {
    throw new RopewalkError(
      `the sequence would be ${length} tokens long, but this model has ${model.maxPositions} positions${model.beyondPositions}. Shorten the prompt or ask for fewer tokens.`,
    );
  }
}

/** Refuses ids outside the vocabulary, which would read out of bounds in some engines. */
export function checkIds(ids: ArrayLike<number>, vocabSize: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw new RopewalkError(
        `token id ${id} at position ${i} is outside the vocabulary of ${vocabSize}; is this the model's own tokenizer?`,
      );
    }
  }
}
