import { RopewalkError } from '../errors.ts';
import type { Codec, Communicator, CommunicatorOptions, Pending, Sliced } from './communicator.ts';
import { type Launched, launchedRanks } from './environment.node.ts';
import { type MpiLibrary, openMpi } from './mpi-library.node.ts';
import { type Call, check, MpiQueue } from './mpi-queue.node.ts';
import { type Staging, Transfer } from './transfer.ts';

/** MPI_THREAD_MULTIPLE: the engine's threads do not call MPI, but the library must know that they exist. */
const THREADS = 3;
const TIMEOUT_MS = 120_000;
/** For waits until one rank has written or read files. */
const LONG_MS = 1_800_000;
/**
 * The shortest wait for ranks on other machines. A launcher that notices a lost machine ends the job; Open MPI's never ends
 * if a rank calls MPI_Abort before it has noticed (16 s with the options that docs/many-processors.md recommends).
 */
const OTHER_MACHINES_MS = 20_000;
/** Elements of the smallest slices of a sum. */
const LEAST = 16;

/** The ranks of an MPI job. */
class MpiCommunicator implements Communicator {
  readonly rank: number;
  readonly size: number;
  readonly localSize: number;
  readonly #mpi: MpiLibrary;
  readonly #queue: MpiQueue;
  readonly #timeoutMs: number;
  #bytesSent = 0;

  private constructor(mpi: MpiLibrary, launched: Launched, { timeoutMs = TIMEOUT_MS }: CommunicatorOptions) {
    this.#mpi = mpi;
    const isOnOthers = launched.localSize < launched.size;
    this.#timeoutMs = Math.max(timeoutMs, isOnOthers ? OTHER_MACHINES_MS : 0);
    check(mpi.initThread(null, null, THREADS, [0]), 'MPI_Init_thread');
    const [rank, size] = [[0], [0]];
    check(mpi.rank(mpi.world, rank), 'MPI_Comm_rank');
    check(mpi.size(mpi.world, size), 'MPI_Comm_size');
    this.rank = rank[0]!;
    this.size = size[0]!;
    this.localSize = launched.localSize;
    this.#queue = new MpiQueue(mpi, this.rank, this.size);
    if (this.size !== launched.size) {
      throw new RopewalkError(
        `${launched.launcher} started ${launched.size} processes, but ${mpi.name} knows of ${this.size}; start them with the launcher that belongs to ${mpi.name}.`,
      );
    }
  }

  /**
   * Joins the job that this process was started in.
   *
   * @throws RopewalkError if there is no MPI library, or one that does not belong to the launcher.
   */
  static join(launched: Launched, options: CommunicatorOptions = {}): MpiCommunicator {
    return new MpiCommunicator(openMpi(launched.launcher), launched, options);
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  /*
   * Not by MPI_Iallreduce: in place, Open MPI 4.1 sends everything to one rank and back, which takes twice the time over TCP
   * with two ranks and more with several; in shared memory the two are level.
   */
  async sum(arrays: readonly (Float32Array | Float64Array)[], codec?: Codec): Promise<void> {
    const singles = arrays.filter((array) => array instanceof Float32Array);
    const parts = singles.map((whole) => this.#evenly(whole));
    const pending = this.reduceScatter(parts, codec);
    for (const array of arrays)
      if (array instanceof Float64Array) await this.#sumDoubles(array, this.#timeoutMs);
    await pending.wait();
    // Every rank has the values that travel, the one that added them up too.
    if (codec) for (const { own } of parts) roundBy(codec, own);
    await this.allGather(parts, codec).wait();
  }

  reduceScatter(parts: readonly Sliced[], codec?: Codec): Pending {
    return this.#start(Transfer.reduceScatter(this.rank, parts, codec), this.#timeoutMs);
  }

  allGather(parts: readonly Sliced[], codec?: Codec): Pending {
    return this.#start(Transfer.allGather(this.rank, parts, codec), this.#timeoutMs);
  }

  exchange(
    send: readonly Float32Array[],
    receive: readonly Float32Array[],
    longest: number,
    codec?: Codec,
  ): Pending {
    return this.#start(Transfer.exchange(this.rank, send, receive, longest, codec), this.#timeoutMs);
  }

  async gather(text: string): Promise<string[]> {
    const bytes = new TextEncoder().encode(text);
    const lengths = await this.#lengthsOf(bytes, LONG_MS);
    const starts = [0];
    for (const length of lengths) starts.push(starts.at(-1)! + Math.ceil(length / 4));
    const whole = new Float32Array(starts.at(-1)!);
    const own = asNumbers(bytes);
    await this.#start(Transfer.allGather(this.rank, [{ whole, own, bounds: starts }]), LONG_MS).wait();
    whole.set(own, starts[this.rank]);
    return Array.from(lengths, (length, rank) =>
      new TextDecoder().decode(new Uint8Array(whole.buffer, 4 * starts[rank]!, length)),
    );
  }

  async collect(bytes: Uint8Array): Promise<Uint8Array[]> {
    const isFirst = this.rank === 0;
    const lengths = await this.#lengthsOf(bytes, this.#timeoutMs);
    const none = new Float32Array(0);
    const own = asNumbers(bytes);
    const send = Array.from(lengths, (_, rank) => (rank === 0 && !isFirst ? own : none));
    const receive = Array.from(lengths, (length) =>
      isFirst ? new Float32Array(Math.ceil(length / 4)) : none,
    );
    await this.exchange(
      send,
      receive,
      Math.max(...Array.from(lengths, (length) => Math.ceil(length / 4))),
    ).wait();
    if (!isFirst) return [];
    receive[0] = own;
    return receive.map(({ buffer }, rank) => new Uint8Array(buffer, 0, lengths[rank]));
  }

  async barrier(): Promise<void> {
    const start = (request: bigint) => this.#mpi.barrier(this.#mpi.world, request);
    await this.#queue.add([{ name: 'MPI_Ibarrier', start, finish: () => {} }], LONG_MS).wait();
  }

  abort(exitCode: number): never {
    this.#mpi.abort(this.#mpi.world, exitCode);
    process.exit(exitCode);
  }

  async leave(): Promise<void> {
    await this.barrier();
    check(this.#mpi.finalize(), 'MPI_Finalize');
  }

  /** The lengths of all ranks' bytes. */
  async #lengthsOf({ length }: Uint8Array, timeoutMs: number): Promise<Float64Array> {
    const lengths = new Float64Array(this.size);
    lengths[this.rank] = length;
    await this.#sumDoubles(lengths, timeoutMs);
    return lengths;
  }

  /** Every rank's doubles, added up in the order of the ranks. */
  async #sumDoubles(array: Float64Array, timeoutMs: number): Promise<void> {
    const all = new Float64Array(array.length * this.size);
    all.set(array, array.length * this.rank);
    const whole = new Float32Array(all.buffer);
    const bounds = Array.from({ length: this.size + 1 }, (_, rank) => 2 * array.length * rank);
    const own = whole.subarray(bounds[this.rank], bounds[this.rank + 1]);
    await this.#start(Transfer.allGather(this.rank, [{ whole, own, bounds }]), timeoutMs).wait();
    array.fill(0);
    for (const [i, value] of all.entries()) array[i % array.length]! += value;
  }

  /** An array in slices of almost the same length. */
  #evenly(whole: Float32Array): Sliced {
    const lines = Math.ceil(whole.length / LEAST);
    const bounds = Array.from({ length: this.size + 1 }, (_, rank) =>
      Math.min(whole.length, LEAST * Math.floor((lines * rank) / this.size)),
    );
    return { whole, own: whole.subarray(bounds[this.rank], bounds[this.rank + 1]), bounds };
  }

  #start(transfer: Transfer, timeoutMs: number): Pending {
    const { koffi, world, bytes } = this.#mpi;
    const calls = Array.from(
      { length: transfer.pieces },
      (_, piece): Call => ({
        name: 'MPI_Ialltoallv',
        start: (request, staging: Staging) => {
          this.#bytesSent += transfer.fill(piece, staging);
          const { send, received, counts } = staging;
          const at = (array: ArrayBufferView) => koffi.address(array);
          return this.#mpi.exchange(
            ...[at(send), at(counts.send), at(counts.sendAt), bytes],
            ...[at(received), at(counts.receive), at(counts.receiveAt), bytes, world, request],
          );
        },
        finish: (staging) => transfer.finish(piece, staging),
      }),
    );
    return this.#queue.add(calls, timeoutMs);
  }
}

/** Bytes in an array of numbers, which is how all of them travel. */
function asNumbers(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const numbers = new Float32Array(Math.ceil(bytes.length / 4));
  new Uint8Array(numbers.buffer).set(bytes);
  return numbers;
}

function roundBy(codec: Codec, values: Float32Array): void {
  const codes = new Uint16Array(Math.min(values.length, 2 ** 16));
  for (let at = 0; at < values.length; at += codes.length) {
    const part = values.subarray(at, at + codes.length);
    codec.encode(part, codes.subarray(0, part.length));
    codec.decode(codes.subarray(0, part.length), part);
  }
}

/** @returns the ranks of this process's job; undefined for a process that was started alone. */
export function joinRanks(options: CommunicatorOptions = {}): Communicator | undefined {
  const launched = launchedRanks();
  return launched && MpiCommunicator.join(launched, options);
}
