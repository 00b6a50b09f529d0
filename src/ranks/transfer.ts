import { addInto } from '../kernels/kernels.ts';
import { HostMemory } from '../runtime/host-memory.ts';
import type { Codec, Sliced } from './communicator.ts';
import { Segments } from './segments.ts';

/**
 * Numbers that a rank sends at once: 1 MiB. Without the kernel's help (CMA), Open MPI takes 50 times as long for four times
 * as much at once, because it sends in fragments of which few fit between two calls of MPI_Test: 20 MB added up by two ranks
 * took 20 ms, and 1000 ms.
 */
const PIECE = 2 ** 18;

/** Memory for one piece on its way. MPI reads and writes it while the piece is in flight. */
export class Staging {
  readonly send: Float32Array;
  readonly received: Float32Array;
  readonly sum: Float32Array;
  readonly counts: Readonly<Record<'send' | 'sendAt' | 'receive' | 'receiveAt', Int32Array>>;

  constructor(ranks: number) {
    const memory = new HostMemory();
    [this.send, this.received, this.sum] = memory.allocGroup([PIECE, PIECE, PIECE]) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const numbers = () => new Int32Array(ranks);
    this.counts = { send: numbers(), sendAt: numbers(), receive: numbers(), receiveAt: numbers() };
  }
}

/** What happens to received numbers. */
type Then =
  | 'copied'
  /** They are added to this rank's own, in the order of the ranks. */
  | 'added';

/** An exchange of numbers between all ranks, in pieces that are of the same number on every rank. */
export class Transfer {
  readonly pieces: number;
  /** Elements of a piece to one rank. */
  readonly #piece: number;

  /**
   * @param rank this one.
   * @param send what this rank sends to each.
   * @param receive what it receives from each; for sums, each has the length of this rank's sum.
   * @param longest elements of the longest of all ranks' messages.
   * @param sum where sums go.
   */
  private constructor(
    readonly rank: number,
    readonly send: readonly Segments[],
    readonly receive: readonly Segments[],
    longest: number,
    readonly then: Then,
    readonly codec: Codec | undefined,
    readonly sum = new Segments([]),
  ) {
    this.#piece = Math.floor(PIECE / Math.max(1, send.length - 1));
    this.pieces = Math.ceil(longest / this.#piece);
  }

  static reduceScatter(rank: number, parts: readonly Sliced[], codec?: Codec): Transfer {
    const send = slicesOf(parts);
    const own = new Segments(parts.map((part) => part.own));
    const receive = send.map(() => own);
    return new Transfer(rank, send, receive, longestOf(send), 'added', codec, own);
  }

  static allGather(rank: number, parts: readonly Sliced[], codec?: Codec): Transfer {
    const receive = slicesOf(parts);
    const own = new Segments(parts.map((part) => part.own));
    const send = receive.map(() => own);
    return new Transfer(rank, send, receive, longestOf(receive), 'copied', codec);
  }

  static exchange(
    rank: number,
    send: readonly Float32Array[],
    receive: readonly Float32Array[],
    longest: number,
    codec?: Codec,
  ): Transfer {
    const each = (arrays: readonly Float32Array[]) => arrays.map((array) => new Segments([array]));
    return new Transfer(rank, each(send), each(receive), longest, 'copied', codec);
  }

  /** Bytes of a number on its way. */
  get #bytes(): number {
    return this.codec ? 2 : 4;
  }

  /** Fills what is sent in a piece, and the counts and places of it, in bytes. @returns bytes that are sent. */
  fill(piece: number, { send, counts }: Staging): number {
    const at = piece * this.#piece;
    let [sendAt, receiveAt, total] = [0, 0, 0];
    let last: Segments | undefined;
    for (const [rank, segments] of this.send.entries()) {
      const [out, back] = rank === this.rank ? [0, 0] : this.#lengths(rank, at);
      // What goes to everyone is there once.
      if (out > 0 && segments !== last) {
        if (last) sendAt += this.#length(last, at);
        this.#pack(segments, at, send.subarray(sendAt, sendAt + out), send, sendAt);
        last = segments;
      }
      counts.send[rank] = out * this.#bytes;
      counts.sendAt[rank] = sendAt * this.#bytes;
      counts.receive[rank] = back * this.#bytes;
      counts.receiveAt[rank] = receiveAt * this.#bytes;
      receiveAt += back;
      total += out * this.#bytes;
    }
    return total;
  }

  /** Uses what was received in a piece. */
  finish(piece: number, staging: Staging): void {
    const at = piece * this.#piece;
    if (this.then === 'added') {
      this.#add(at, staging);
      return;
    }
    for (const [rank, segments] of this.receive.entries()) {
      if (rank !== this.rank && this.#length(segments, at) > 0)
        segments.write(at, this.#unpack(rank, this.#length(segments, at), staging));
    }
  }

  #add(at: number, staging: Staging): void {
    const sum = staging.sum.subarray(0, this.#length(this.sum, at));
    if (sum.length === 0) return;
    const own = () => {
      const values = staging.send.subarray(0, sum.length);
      this.send[this.rank]!.read(at, values);
      return values;
    };
    for (let rank = 0; rank < this.send.length; rank++) {
      // What was sent is no longer needed.
      const values = rank === this.rank ? own() : this.#unpack(rank, sum.length, staging);
      if (rank === 0) sum.set(values);
      else addInto(sum, values);
    }
    this.sum.write(at, sum);
  }

  #lengths(rank: number, at: number): [number, number] {
    return [this.#length(this.send[rank]!, at), this.#length(this.receive[rank]!, at)];
  }

  #length({ length }: Segments, at: number): number {
    return Math.max(0, Math.min(this.#piece, length - at));
  }

  #pack(segments: Segments, at: number, values: Float32Array, send: Float32Array, sendAt: number): void {
    segments.read(at, values);
    if (!this.codec) return;
    // In place: codes are behind the values that they replace.
    const codes = new Uint16Array(send.buffer, send.byteOffset + 2 * sendAt, values.length);
    this.codec.encode(values, codes);
  }

  #unpack(rank: number, length: number, { received, counts, send }: Staging): Float32Array {
    const start = counts.receiveAt[rank]!;
    if (!this.codec) return received.subarray(start / 4, start / 4 + length);
    const values = send.subarray(0, length);
    this.codec.decode(new Uint16Array(received.buffer, received.byteOffset + start, length), values);
    return values;
  }
}

/** Each rank's slices of all parts. */
function slicesOf(parts: readonly Sliced[]): Segments[] {
  const ranks = (parts[0]?.bounds.length ?? 1) - 1;
  return Array.from(
    { length: ranks },
    (_, rank) =>
      new Segments(parts.map(({ whole, bounds }) => whole.subarray(bounds[rank], bounds[rank + 1]))),
  );
}

function longestOf(all: readonly Segments[]): number {
  return Math.max(0, ...all.map(({ length }) => length));
}
