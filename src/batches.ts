import { RopewalkError } from './errors.ts';
import { Random } from './random.ts';

/** Inputs and the tokens that follow them, both [batch · seq], row-major. */
export interface Batch {
  inputs: Int32Array;
  targets: Int32Array;
}

/** A micro-batch of training rows; all arrays are [batch · seq]. */
export interface TrainingRows extends Batch {
  /** The weight of each target in the loss: 0 for one that is not trained. Default 1 everywhere. */
  readonly weights?: Float32Array;
  /** Positions within the texts that are packed into a row. Default 0, 1, 2 … in every row. */
  readonly positions?: Int32Array;
  /** Indices of those texts, small integers; a token attends only to its own text. Default one text per row. */
  readonly segments?: Float32Array;
  /** Additional inputs of a custom loss, by name. */
  readonly extra?: Readonly<
    Record<string, { readonly data: Float32Array | Int32Array; readonly shape: readonly number[] }>
  >;
}

/** An endless source of micro-batches that can be resumed exactly. */
export interface BatchSource<State = unknown> {
  next(): Promise<TrainingRows & { readonly epoch: number }> | (TrainingRows & { readonly epoch: number });
  /** Plain JSON. */
  state(): State;
  /** @throws RopewalkError when the state is damaged or belongs to other data. */
  restore(state: State): void;
}

export interface TrainingBatch extends Batch {
  /** How many times the text had been read in full before this batch's first window. */
  epoch: number;
}

export interface EvaluationBatch extends Batch {
  /** 1 where the target counts, 0 for padding; [batch · seq]. */
  weights: Float32Array;
  /** How many targets count. */
  count: number;
}

/** A BatchSampler's position; plain JSON. */
export interface BatchSamplerState {
  epoch: number;
  /** Windows of this epoch that were returned. */
  position: number;
  /** The random state from which this epoch's offset and order were drawn. */
  random: number[];
  /** To check that the state belongs to this data. */
  tokens: number;
  seq: number;
}

function checkShape(tokens: Int32Array, batch: number, seq: number, least: number): void {
  for (const [name, value] of Object.entries({ batch, seq })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new RopewalkError(`${name} must be a positive integer, but is ${value}`);
    }
  }
  if (tokens.length < least) {
    throw new RopewalkError(
      `the text has ${tokens.length} tokens, but at least ${least} are needed; give more text or a smaller seq`,
    );
  }
}

/**
 * Training batches for next-token prediction. Every epoch cuts the text into non-overlapping windows of `seq` inputs
 * and returns each window once, in random order. The first window begins at a random offset below `seq`, drawn anew
 * every epoch, so that windows do not always break at the same places; less than a window is left over at either end.
 * A batch may hold the last windows of one epoch and the first of the next.
 */
export class BatchSampler {
  readonly #tokens: Int32Array;
  readonly #batch: number;
  readonly #seq: number;
  #random: Random;
  #epoch = 0;
  #position = 0;
  #epochStart: number[] = [];
  #offset = 0;
  #order = new Int32Array(0);

  /** @throws RopewalkError when the text is shorter than a window and the token after it. */
  constructor(options: { tokens: Int32Array; batch: number; seq: number; seed: number }) {
    const { tokens, batch, seq, seed } = options;
    checkShape(tokens, batch, seq, seq + 1);
    this.#tokens = tokens;
    this.#batch = batch;
    this.#seq = seq;
    this.#random = new Random(seed);
    this.#beginEpoch();
  }

  /** The number of windows in the current epoch. */
  get windows(): number {
    return this.#order.length;
  }

  /** The next batch: windows in the order of this epoch. */
  next(): TrainingBatch {
    const size = this.#batch * this.#seq;
    const inputs = new Int32Array(size);
    const targets = new Int32Array(size);
    if (this.#position === this.#order.length) this.#nextEpoch();
    const epoch = this.#epoch;
    for (let row = 0; row < this.#batch; row++) {
      if (this.#position === this.#order.length) this.#nextEpoch();
      const start = this.#offset + this.#order[this.#position++]! * this.#seq;
      inputs.set(this.#tokens.subarray(start, start + this.#seq), row * this.#seq);
      targets.set(this.#tokens.subarray(start + 1, start + 1 + this.#seq), row * this.#seq);
    }
    return { inputs, targets, epoch };
  }

  /** The state that `restore` resumes from. */
  state(): BatchSamplerState {
    return {
      epoch: this.#epoch,
      position: this.#position,
      random: [...this.#epochStart],
      tokens: this.#tokens.length,
      seq: this.#seq,
    };
  }

  /**
   * Restores a saved state; the next batches are those that followed when it was saved.
   *
   * @throws RopewalkError when the state is damaged or was saved for other data or another `seq`.
   */
  restore(state: BatchSamplerState): void {
    if (state.tokens !== this.#tokens.length || state.seq !== this.#seq) {
      throw new RopewalkError(
        `the saved data position is for ${state.tokens} tokens in windows of ${state.seq}, but the text now has ` +
          `${this.#tokens.length} in windows of ${this.#seq}; resume with the same text, tokenizer and seq`,
      );
    }
    let random: Random;
    try {
      random = Random.fromState(state.random);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new RopewalkError(`the saved data position is damaged: ${reason}`, { cause: error });
    }
    const { windows } = new EpochPlan(this.#tokens.length, this.#seq, Random.fromState(state.random));
    const isCount = (value: number) => Number.isInteger(value) && value >= 0;
    if (!isCount(state.epoch) || !isCount(state.position) || state.position > windows) {
      throw new RopewalkError(
        `the saved data position is damaged: epoch ${state.epoch}, window ${state.position} of ${windows}`,
      );
    }
    this.#random = random;
    this.#epoch = state.epoch;
    this.#beginEpoch();
    this.#position = state.position;
  }

  #nextEpoch(): void {
    this.#epoch++;
    this.#beginEpoch();
  }

  #beginEpoch(): void {
    this.#epochStart = this.#random.state();
    const { offset, windows } = new EpochPlan(this.#tokens.length, this.#seq, this.#random);
    this.#offset = offset;
    this.#order = this.#random.shuffle(Int32Array.from({ length: windows }, (_, i) => i));
    this.#position = 0;
  }
}

/** The offset of an epoch's first window, and how many windows fit after it. */
class EpochPlan {
  readonly offset: number;
  readonly windows: number;

  constructor(tokens: number, seq: number, random: Random) {
    // A window takes seq inputs and the token after the last one; at least one window must fit.
    this.offset = random.nextInt(Math.min(seq, tokens - seq));
    this.windows = Math.floor((tokens - 1 - this.offset) / seq);
  }
}

/**
 * Evaluation batches: the held-out text in order, in non-overlapping windows, so that each token but the first is a
 * target exactly once. The last window and the last batch are padded with id 0 and weight 0.
 *
 * @throws RopewalkError when there are fewer than two tokens.
 */
export function* evaluationBatches(
  tokens: Int32Array,
  batch: number,
  seq: number,
): Generator<EvaluationBatch, void> {
  checkShape(tokens, batch, seq, 2);
  const size = batch * seq;
  const targetsInAll = tokens.length - 1;
  for (let start = 0; start < targetsInAll; start += size) {
    // Windows are contiguous, so a batch is a slice of the text.
    const count = Math.min(size, targetsInAll - start);
    const inputs = new Int32Array(size);
    const targets = new Int32Array(size);
    inputs.set(tokens.subarray(start, start + count));
    targets.set(tokens.subarray(start + 1, start + 1 + count));
    yield { inputs, targets, weights: new Float32Array(size).fill(1, 0, count), count };
  }
}
