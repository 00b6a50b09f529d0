import { symbol } from '../../graph/dims.ts';
import { concat, gatherRows, input } from '../../graph/operators/index.ts';
import type { LayerCache } from '../../nn/attention.ts';
import type { DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { Engine } from '../../runtime/engine.ts';
import { Executable } from '../../runtime/executable.ts';
import { LayerRows } from './layer-rows.ts';

/** Row indices on the device that are kept for the next layer, which usually moves the same rows. */
const KEPT_INDICES = 4;

/** Rows of a sequence in a tensor `[sequences, kv, capacity, d]`. */
interface Piece {
  readonly tensor: DeviceTensor;
  readonly sequence: number;
  readonly first: number;
  readonly count: number;
}

/** What caches on a device share: its memory, and the graphs that move rows there. */
export class DeviceRowStore {
  readonly #indices = new Map<string, DeviceTensor>();
  readonly #zeros = new Map<number, DeviceTensor>();
  /** Frees the tensors of caches that are no longer in use. */
  readonly #unused: FinalizationRegistry<DeviceTensor>;
  #released = false;

  readonly #memory: DeviceMemory;
  readonly #gather: Executable;
  readonly #concat: Executable;

  private constructor(memory: DeviceMemory, gather: Executable, joined: Executable) {
    this.#memory = memory;
    this.#gather = gather;
    this.#concat = joined;
    this.#unused = new FinalizationRegistry((tensor) => this.#free(tensor));
  }

  static async create(engine: Engine, memory: DeviceMemory): Promise<DeviceRowStore> {
    const table = input('table', 'float32', [symbol('rows'), symbol('width')]);
    const other = input('other', 'float32', [symbol('others'), symbol('width')]);
    const gathered = gatherRows(table, input('indices', 'int32', [symbol('count')]));
    return new DeviceRowStore(
      memory,
      await Executable.compile(engine, new Map([['rows', gathered]])),
      await Executable.compile(engine, new Map([['rows', concat([table, other], 0)]])),
    );
  }

  rows(layer: LayerCache, sequences?: number): DeviceRows {
    return new DeviceRows(this, layer, sequences);
  }

  /** A tensor that is freed with its owner, or by {@link release}. */
  own(owner: object, tensor: DeviceTensor): DeviceTensor {
    this.#unused.register(owner, tensor, tensor);
    return tensor;
  }

  /** Frees a tensor that has an owner. */
  disown(tensor: DeviceTensor): void {
    this.#unused.unregister(tensor);
    this.#free(tensor);
  }

  /**
   * A new tensor `[pieces, kv, capacity, d]` of copied rows: every piece is a sequence. What follows its rows is finite
   * and has no meaning.
   */
  assemble({ kvHeads, headDim }: LayerCache, pieces: readonly Piece[], capacity: number): DeviceTensor {
    const tensors = [...new Set(pieces.filter(({ count }) => count > 0).map(({ tensor }) => tensor))];
    const tables = tensors.map((tensor) => ({
      tensor,
      rows: tensor.shape[0]! * kvHeads * tensor.shape[2]!,
    }));
    const indices = new Int32Array(pieces.length * kvHeads * capacity);
    const key = [kvHeads, capacity];
    pieces.forEach(({ tensor, sequence, first, count }, piece) => {
      let before = 0;
      for (const table of tables.slice(0, Math.max(0, tensors.indexOf(tensor)))) before += table.rows;
      key.push(before, tensor?.shape[2] ?? 0, sequence, first, count);
      if (count === 0) return;
      for (let head = 0; head < kvHeads; head++) {
        const source = before + (sequence * kvHeads + head) * tensor.shape[2]! + first;
        const target = (piece * kvHeads + head) * capacity;
        for (let row = 0; row < capacity; row++) indices[target + row] = source + Math.min(row, count - 1);
      }
    });
    const views = tables.map(({ tensor, rows }) => this.#memory.view(tensor, [rows, headDim]));
    const made = this.#memory.allocate('float32', [pieces.length, kvHeads, capacity, headDim]);
    const target = this.#memory.view(made, [indices.length, headDim]);
    const table = this.#joined(views, headDim);
    run(this.#gather, { table, indices: this.#indicesOf(key.join(), indices) }, { rows: target });
    for (const view of [...views, target]) this.#memory.free(view);
    if (views.length > 1) this.#memory.free(table);
    return made;
  }

  async release(): Promise<void> {
    this.#released = true;
    await this.#gather.release();
    await this.#concat.release();
  }

  #joined(views: readonly DeviceTensor[], headDim: number): DeviceTensor {
    if (views.length === 0) return this.#zeroRow(headDim);
    return views.reduce((joined, view, i) => {
      const rows = this.#memory.allocate('float32', [joined.shape[0]! + view.shape[0]!, headDim]);
      run(this.#concat, { table: joined, other: view }, { rows });
      if (i > 1) this.#memory.free(joined);
      return rows;
    });
  }

  #indicesOf(key: string, values: Int32Array): DeviceTensor {
    const known = this.#indices.get(key);
    if (known) return known;
    if (this.#indices.size === KEPT_INDICES) {
      const [oldest, tensor] = this.#indices.entries().next().value!;
      this.#indices.delete(oldest);
      this.#memory.free(tensor);
    }
    const tensor = this.#memory.allocate('int32', [values.length]);
    this.#memory.write(tensor, values);
    this.#indices.set(key, tensor);
    return tensor;
  }

  #zeroRow(width: number): DeviceTensor {
    let row = this.#zeros.get(width);
    if (!row) {
      row = this.#memory.allocate('float32', [1, width]);
      this.#memory.write(row, new Float32Array(width));
      this.#zeros.set(width, row);
    }
    return row;
  }

  #free(tensor: DeviceTensor): void {
    if (!this.#released) this.#memory.free(tensor);
  }
}

function run(
  executable: Executable,
  inputs: Parameters<Executable['bind']>[0],
  outputs: Parameters<Executable['bind']>[1],
): void {
  const binding = executable.bind(inputs, outputs);
  binding.run();
  binding.release();
}

/** Rows in the memory of a device. A tensor holds exactly the sequences that run. */
export class DeviceRows extends LayerRows {
  #tensor: DeviceTensor | undefined;

  readonly #store: DeviceRowStore;

  constructor(store: DeviceRowStore, layer: LayerCache, sequences?: number) {
    super(layer, sequences);
    this.#store = store;
  }

  get bytes(): number {
    return this.#tensor?.byteLength ?? 0;
  }

  view(): DeviceTensor {
    return this.#tensor!;
  }

  append(): void {
    throw new Error('the engine itself writes rows on its device');
  }

  protected free(): void {
    this.#replace(undefined);
  }

  protected resize(capacity: number, count: number): void {
    if (capacity === this.capacity && this.#tensor?.shape[0] === count) return;
    this.#assemble(this.#pieces(count), capacity);
  }

  protected moveToFront(sequence: number, count: number): void {
    const first = this.ends[sequence]! - count;
    const pieces = this.#pieces(this.#tensor!.shape[0]!);
    pieces[sequence] = { ...pieces[sequence]!, first, count };
    this.#assemble(pieces, this.capacity);
  }

  protected copyRows(other: this, from: number, end: number, count: number, to: number): void {
    const pieces = this.#pieces(Math.max(this.#tensor?.shape[0] ?? 0, to + 1));
    pieces[to] = { tensor: other.#tensor!, sequence: from, first: end - count, count };
    this.#assemble(pieces, this.capacity);
  }

  /** The rows that the first `count` sequences have. */
  #pieces(count: number): Piece[] {
    const held = this.#tensor?.shape[0] ?? 0;
    return Array.from({ length: count }, (_, sequence) => ({
      tensor: this.#tensor!,
      sequence,
      first: 0,
      count: sequence < held ? this.ends[sequence]! : 0,
    }));
  }

  #assemble(pieces: readonly Piece[], capacity: number): void {
    const tensor = this.#store.assemble(this.layer, pieces, capacity);
    this.#replace(this.#store.own(this, tensor));
    this.capacity = capacity;
  }

  #replace(tensor: DeviceTensor | undefined): void {
    if (this.#tensor) this.#store.disown(this.#tensor);
    this.#tensor = tensor;
    if (!tensor) this.capacity = 0;
  }
}
