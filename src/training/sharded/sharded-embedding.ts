import { type InputAttributes, parameter } from '../../graph/operators/index.ts';
import { gatherRowsOp } from '../../graph/operators/indexing.ts';
import { substitute } from '../../graph/rewrite.ts';
import { isNodeOf } from '../../graph/tensor.ts';
import { topologicalOrder } from '../../graph/traverse.ts';
import { addRows } from '../../kernels/kernels.ts';
import type { Codec, Communicator } from '../../ranks/communicator.ts';
import type { Piece, PieceParameter } from '../blocks/block-graph.ts';

/**
 * The embedding's piece with a table of only those rows that a step's tokens read, one per token: the graph is fed their
 * indices in place of the tokens.
 *
 * @returns the table's parameter too, with its own shape; undefined if the piece looks up no tokens.
 */
export function compactEmbedding(
  piece: Piece,
  tokens: number,
): { readonly piece: Piece; readonly table: PieceParameter } | undefined {
  const lookup = topologicalOrder([piece.y]).find(
    (node) => isNodeOf(node, gatherRowsOp) && inputName(node.inputs[1]!.node) === 'input_ids',
  );
  const table = lookup && piece.parameters.find(({ tensor }) => tensor === lookup.inputs[0]);
  if (!table) return undefined;
  const shape = [tokens, table.shape[1]!];
  const compact = { ...table, shape, tensor: parameter(table.name, shape) };
  const y = substitute([piece.y], new Map([[table.tensor, compact.tensor]]))[0]!;
  const parameters = piece.parameters.map((each) => (each === table ? compact : each));
  return { piece: { ...piece, y, parameters }, table };
}

function inputName({ operator, attributes }: { operator: { name: string }; attributes: unknown }) {
  return operator.name === 'input' ? (attributes as InputAttributes).name : undefined;
}

/** Tokens that read rows of one rank, in order: their places in the step, and their ids. */
interface Readers {
  readonly places: Int32Array;
  readonly ids: Int32Array;
}

/**
 * A table of which every rank has some rows. Those that tokens read are sent to them, and gradients back, so that only they
 * travel, not the whole table.
 */
export class ShardedTable {
  readonly #communicator: Communicator;
  readonly #own: Float32Array;
  readonly #width: number;
  /** The rows of rank r begin at `starts[r]`. */
  readonly #starts: readonly number[];
  /** For each rank, which of its tokens read rows of each other. */
  #readers: readonly (readonly Readers[])[] = [];

  /** @param bounds of elements. */
  constructor(communicator: Communicator, own: Float32Array, width: number, bounds: readonly number[]) {
    this.#communicator = communicator;
    this.#own = own;
    this.#width = width;
    this.#starts = bounds.map((bound) => bound / width);
  }

  /** Fills a table of the rows that this rank's tokens read. */
  async read(ids: Int32Array, rows: Float32Array): Promise<void> {
    const { rank, size } = this.#communicator;
    const all = new Int32Array(size * ids.length);
    all.set(ids, rank * ids.length);
    const whole = new Float32Array(all.buffer);
    const bounds = Array.from({ length: size + 1 }, (_, i) => i * ids.length);
    const own = whole.subarray(bounds[rank], bounds[rank + 1]);
    await this.#communicator.allGather([{ whole, own, bounds }]).wait();
    this.#readers = Array.from({ length: size }, (_, reader) =>
      this.#readersOf(all.subarray(bounds[reader], bounds[reader + 1])),
    );
    const send = this.#readers.map((readers) => this.#rowsFor(readers[rank]!));
    const receive: Float32Array[] = this.#readers[rank]!.map(
      ({ ids: read }) => new Float32Array(read.length * this.#width),
    );
    receive[rank] = send[rank]!;
    await this.#communicator.exchange(send, receive, this.#longest()).wait();
    for (const [from, { places }] of this.#readers[rank]!.entries()) {
      for (const [k, place] of places.entries())
        rows.set(receive[from]!.subarray(k * this.#width, (k + 1) * this.#width), place * this.#width);
    }
  }

  /** Adds the gradients of the rows that were read to those of this rank's rows, in the order of the ranks. */
  async addGradients(dRows: Float32Array, gradient: Float32Array, codec: Codec | undefined): Promise<void> {
    const { rank } = this.#communicator;
    const width = this.#width;
    const send = this.#readers[rank]!.map(({ places }) => {
      const values = new Float32Array(places.length * width);
      for (const [k, place] of places.entries())
        values.set(dRows.subarray(place * width, (place + 1) * width), k * width);
      return values;
    });
    const receive: Float32Array[] = this.#readers.map(
      (readers) => new Float32Array(readers[rank]!.ids.length * width),
    );
    receive[rank] = send[rank]!;
    await this.#communicator.exchange(send, receive, this.#longest(), codec).wait();
    for (const [from, values] of receive.entries()) {
      const ids = this.#readers[from]![rank]!.ids.map((id) => id - this.#starts[rank]!);
      if (ids.length > 0) addRows(gradient, ids, values, width);
    }
  }

  #readersOf(ids: Int32Array): Readers[] {
    const places = this.#starts.slice(1).map(() => [] as number[]);
    for (const [place, id] of ids.entries()) places[this.#ownerOf(id)]!.push(place);
    return places.map((some) => ({
      places: Int32Array.from(some),
      ids: Int32Array.from(some, (place) => ids[place]!),
    }));
  }

  #ownerOf(id: number): number {
    let owner = 0;
    while (this.#starts[owner + 1]! <= id) owner++;
    return owner;
  }

  #rowsFor({ ids }: Readers): Float32Array {
    const rows = new Float32Array(ids.length * this.#width);
    for (const [k, id] of ids.entries()) {
      const start = (id - this.#starts[this.#communicator.rank]!) * this.#width;
      rows.set(this.#own.subarray(start, start + this.#width), k * this.#width);
    }
    return rows;
  }

  /** Elements of the longest message between two ranks. */
  #longest(): number {
    const lengths = this.#readers.flatMap((readers, reader) =>
      readers.map(({ ids }, owner) => (owner === reader ? 0 : ids.length)),
    );
    return Math.max(0, ...lengths) * this.#width;
  }
}
