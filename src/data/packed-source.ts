import type { BatchSource, TrainingRows } from '../batches.ts';
import { RopewalkError } from '../errors.ts';
import { Random, splitmix64 } from '../random.ts';
import { packRows } from './pack.ts';
import type { DatasetView, Example } from './view.ts';

export interface PackingOptions {
  /** Rows in a micro-batch. */
  readonly batch: number;
  /** Tokens in a row. */
  readonly seq: number;
  /** Whether a row holds as many examples as fit; otherwise one. */
  readonly pack: boolean;
}

/** A PackedSource's position; plain JSON. */
export interface PackedState {
  readonly epoch: number;
  /** Micro-batches of this epoch that were returned. */
  readonly position: number;
  /** To check that the state belongs to this data and these options. */
  readonly identity: string;
  readonly batch: number;
  readonly seq: number;
  readonly pack: boolean;
  readonly seed: number;
}

/** Rows of examples, with all the arrays for training on packed rows: [batch · seq] each. */
export interface PackedRows extends TrainingRows {
  readonly weights: Float32Array;
  readonly positions: Int32Array;
  readonly segments: Float32Array;
}

/**
 * An endless stream of micro-batches: every epoch contains each example once, in a new order drawn from the seed.
 *
 * An example of n tokens takes n − 1 positions of a row: token i is the input and token i + 1 the target, so no
 * target is in another example. In each row `segments` numbers the examples, and `positions` begin at 0 in each, so
 * that attention stays within it. The rest of a row, and the remaining rows of an epoch's last micro-batch, are
 * padded with id 0 and weight 0, as a separate segment. With `pack`, `packRows` fills the rows.
 */
export class PackedSource implements BatchSource<PackedState> {
  /** Micro-batches per epoch; the same in every epoch. */
  readonly batchesPerEpoch: number;
  readonly #view: DatasetView;
  readonly #options: PackingOptions & { readonly seed: number };
  #epoch = 0;
  #position = 0;
  #rows: readonly (readonly number[])[];

  /** @throws RopewalkError if there is no example, or one is longer than a row. */
  constructor(view: DatasetView, options: PackingOptions & { readonly seed: number }) {
    checkFits(view, options);
    this.#view = view;
    this.#options = { ...options };
    this.#rows = this.#plan(0);
    this.batchesPerEpoch = Math.ceil(this.#rows.length / options.batch);
  }

  /** The next batch; after the last row of an epoch the next epoch begins, in a new order. */
  async next(): Promise<PackedRows & { readonly epoch: number }> {
    if (this.#position === this.batchesPerEpoch) {
      this.#epoch++;
      this.#position = 0;
      this.#rows = this.#plan(this.#epoch);
    }
    const epoch = this.#epoch;
    const { batch } = this.#options;
    const start = this.#position++ * batch;
    return { ...(await rowsOf(this.#view, this.#rows.slice(start, start + batch), this.#options)), epoch };
  }

  state(): PackedState {
    const { batch, seq, pack, seed } = this.#options;
    const { identity } = this.#view;
    return { epoch: this.#epoch, position: this.#position, identity, batch, seq, pack, seed };
  }

  /**
   * Restores a saved state; the next micro-batches are those that followed when it was saved.
   *
   * @throws RopewalkError if the state is damaged, or was saved for other data or options.
   */
  restore(state: PackedState): void {
    const mine = this.state();
    for (const key of ['identity', 'batch', 'seq', 'pack', 'seed'] as const) {
      if (state[key] === mine[key]) continue;
      throw new RopewalkError(
        key === 'identity'
          ? 'the saved data position belongs to other data, or to data prepared differently; resume with the same data, ' +
              'tokenizer, template and options'
          : `the saved data position is for ${key} ${state[key]}, but ${key} is now ${mine[key]}; resume with the same`,
      );
    }
    const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;
    if (!isCount(state.epoch) || !isCount(state.position) || state.position > this.batchesPerEpoch) {
      throw new RopewalkError(
        `the saved data position is damaged: epoch ${state.epoch}, batch ${state.position} of ${this.batchesPerEpoch}`,
      );
    }
    this.#epoch = state.epoch;
    this.#position = state.position;
    this.#rows = this.#plan(state.epoch);
  }

  /** The rows of an epoch: its random numbers depend only on the seed and the epoch. */
  #plan(epoch: number): number[][] {
    const { seed } = this.#options;
    // Seed and epoch are mixed in sequence, so that epochs of nearby seeds do not coincide.
    const mixed = splitmix64(splitmix64(BigInt(seed)).next().value + BigInt(epoch)).next().value;
    const random = new Random(Number(mixed >> 11n));
    const order = random.shuffle(Int32Array.from({ length: this.#view.size }, (_, i) => i));
    const rows = planRows(this.#view, order, this.#options);
    const shuffled = random.shuffle(Int32Array.from({ length: rows.length }, (_, i) => i));
    return Array.from(shuffled, (row) => rows[row]!);
  }
}

/**
 * Every example of a view once, in micro-batches in a fixed order. The last one is padded with rows of weight 0.
 *
 * @throws RopewalkError if there is no example, or one is longer than a row.
 */
export async function* evaluationRows(
  view: DatasetView,
  options: PackingOptions,
): AsyncGenerator<PackedRows, void> {
  checkFits(view, options);
  const rows = planRows(
    view,
    Int32Array.from({ length: view.size }, (_, i) => i),
    options,
  );
  for (let start = 0; start < rows.length; start += options.batch) {
    yield await rowsOf(view, rows.slice(start, start + options.batch), options);
  }
}

/** How many positions of a row an example of `length` tokens takes; a single token is an input without a target. */
export function slotsOf(length: number): number {
  return Math.max(1, length - 1);
}

function planRows(view: DatasetView, order: Int32Array, { seq, pack }: PackingOptions): number[][] {
  if (!pack) return Array.from(order, (example) => [example]);
  return packRows(order, (example) => slotsOf(view.length(example)), seq);
}

async function rowsOf(
  view: DatasetView,
  rows: readonly (readonly number[])[],
  { batch, seq }: PackingOptions,
): Promise<PackedRows> {
  const examples = await Promise.all(rows.map((row) => Promise.all(row.map((index) => view.read(index)))));
  const size = batch * seq;
  const filled = {
    inputs: new Int32Array(size),
    targets: new Int32Array(size),
    weights: new Float32Array(size),
    positions: new Int32Array(size),
    segments: new Float32Array(size),
  };
  for (let row = 0; row < batch; row++) fillRow(filled, row * seq, seq, examples[row] ?? []);
  return filled;
}

function fillRow(rows: PackedRows, start: number, seq: number, examples: readonly Example[]): void {
  let at = start;
  for (const [segment, { ids, trained }] of examples.entries()) {
    const slots = slotsOf(ids.length);
    for (let i = 0; i < slots; i++, at++) {
      rows.inputs[at] = ids[i]!;
      rows.targets[at] = ids[i + 1] ?? 0;
      rows.weights[at] = trained[i + 1] ?? 0;
      rows.positions[at] = i;
      rows.segments[at] = segment;
    }
  }
  for (let i = 0; at < start + seq; i++, at++) {
    rows.positions[at] = i;
    rows.segments[at] = examples.length;
  }
}

function checkFits(view: DatasetView, { batch, seq }: PackingOptions): void {
  for (const [name, value] of Object.entries({ batch, seq })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new RopewalkError(`${name} must be a positive integer, but is ${value}`);
    }
  }
  if (view.size === 0) throw new RopewalkError('the data has no examples; add some');
  for (let i = 0; i < view.size; i++) {
    const length = view.length(i);
    if (slotsOf(length) <= seq) continue;
    throw new RopewalkError(
      `example ${i} has ${length} tokens, but a row of seq ${seq} holds ${seq + 1}; prepare the data with maxLength ${seq + 1}, or raise seq`,
    );
  }
}
