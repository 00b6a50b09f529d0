import { setImmediate as nextTurn } from 'node:timers/promises';
import { RopewalkError } from '../errors.ts';
import type { Communicator, CommunicatorOptions } from './communicator.ts';
import { type Launched, launchedRanks } from './environment.node.ts';
import { type MpiLibrary, openMpi } from './mpi-library.node.ts';

/** MPI_THREAD_MULTIPLE: the engine's threads do not call MPI, but the library must know that they exist. */
const THREADS = 3;
/** Elements per call: few enough that signals are handled between calls. */
const PIECE = 2 ** 22;
const TIMEOUT_MS = 120_000;
/** MPI counts in 32-bit integers. */
const MOST_COLLECTED = 2 ** 31 - 1;
/** For waits until one rank has written or read files. */
const LONG_MS = 1_800_000;

/**
 * The ranks of an MPI job. Calls are started without waiting (`MPI_Iallreduce`) and polled with `MPI_Test`: the
 * library only makes progress while it is called, and a thread blocked inside it would notice neither signals nor a
 * lost connection.
 */
class MpiCommunicator implements Communicator {
  readonly rank: number;
  readonly size: number;
  readonly localSize: number;
  readonly #mpi: MpiLibrary;
  readonly #timeoutMs: number;
  readonly #request = new BigUint64Array(1);
  #bytesSent = 0;

  private constructor(mpi: MpiLibrary, launched: Launched, { timeoutMs = TIMEOUT_MS }: CommunicatorOptions) {
    this.#mpi = mpi;
    this.#timeoutMs = timeoutMs;
    check(mpi.initThread(null, null, THREADS, [0]), 'MPI_Init_thread');
    const [rank, size] = [[0], [0]];
    check(mpi.rank(mpi.world, rank), 'MPI_Comm_rank');
    check(mpi.size(mpi.world, size), 'MPI_Comm_size');
    this.rank = rank[0]!;
    this.size = size[0]!;
    this.localSize = launched.localSize;
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

  sum(arrays: readonly (Float32Array | Float64Array)[]): Promise<void> {
    return this.#sum(arrays, this.#timeoutMs);
  }

  async #sum(arrays: readonly (Float32Array | Float64Array)[], timeoutMs: number): Promise<void> {
    const { koffi, world, float32, float64, add, inPlace } = this.#mpi;
    for (const array of arrays) {
      const type = array instanceof Float32Array ? float32 : float64;
      for (let start = 0; start < array.length; start += PIECE) {
        const piece = array.subarray(start, start + PIECE);
        await this.#call(
          'MPI_Iallreduce',
          (request) => this.#mpi.sum(inPlace, koffi.address(piece), piece.length, type, add, world, request),
          timeoutMs,
        );
      }
      this.#bytesSent += (2 * array.byteLength * (this.size - 1)) / this.size;
    }
  }

  async gather(text: string): Promise<string[]> {
    const bytes = new TextEncoder().encode(text);
    const lengths = new Float64Array(this.size);
    lengths[this.rank] = bytes.length;
    await this.#sum([lengths], LONG_MS);
    const longest = Math.max(1, ...lengths);
    const mine = new Uint8Array(longest);
    mine.set(bytes);
    const all = new Uint8Array(longest * this.size);
    const { koffi, world, bytes: type } = this.#mpi;
    await this.#call(
      'MPI_Iallgather',
      (request) =>
        this.#mpi.gather(
          koffi.address(mine),
          longest,
          type,
          koffi.address(all),
          longest,
          type,
          world,
          request,
        ),
      LONG_MS,
    );
    this.#bytesSent += longest * (this.size - 1);
    return Array.from(lengths, (length, rank) =>
      new TextDecoder().decode(all.subarray(rank * longest, rank * longest + length)),
    );
  }

  async collect(bytes: Uint8Array): Promise<Uint8Array[]> {
    const isFirst = this.rank === 0;
    const lengths = new Float64Array(this.size);
    lengths[this.rank] = bytes.length;
    await this.sum([lengths]);
    // Everyone sends as much as the longest: MPI_Igatherv would need arrays of 32-bit displacements.
    const longest = Math.max(1, ...lengths);
    if (longest > MOST_COLLECTED)
      throw new RopewalkError(
        `${longest} bytes of one rank are too many for MPI to collect at once; use smaller batches.`,
      );
    const mine = new Uint8Array(longest);
    mine.set(bytes);
    const all = isFirst ? new Uint8Array(longest * this.size) : mine;
    const { koffi, world, bytes: type } = this.#mpi;
    await this.#call(
      'MPI_Igather',
      (request) =>
        this.#mpi.collect(
          koffi.address(mine),
          longest,
          type,
          koffi.address(all),
          longest,
          type,
          0,
          world,
          request,
        ),
      this.#timeoutMs,
    );
    if (!isFirst) this.#bytesSent += longest;
    return isFirst
      ? Array.from(lengths, (length, rank) => all.subarray(rank * longest, rank * longest + length))
      : [];
  }

  async barrier(): Promise<void> {
    await this.#call('MPI_Ibarrier', (request) => this.#mpi.barrier(this.#mpi.world, request), LONG_MS);
  }

  abort(exitCode: number): never {
    this.#mpi.abort(this.#mpi.world, exitCode);
    process.exit(exitCode);
  }

  async leave(): Promise<void> {
    await this.barrier();
    check(this.#mpi.finalize(), 'MPI_Finalize');
  }

  /** Starts a call and polls until it is done. */
  async #call(name: string, start: (request: bigint) => number, timeoutMs: number): Promise<void> {
    const { koffi, test, ignore } = this.#mpi;
    const request = koffi.address(this.#request);
    check(start(request), name);
    const flag = [0];
    const began = performance.now();
    for (;;) {
      check(test(request, flag, ignore), 'MPI_Test');
      if (flag[0]) return;
      if (performance.now() - began > timeoutMs) {
        throw new RopewalkError(
          `no other rank has answered rank ${this.rank} for ${Math.round(timeoutMs / 1000)} s: one of them hangs, or the connection to it is lost.`,
        );
      }
      await nextTurn();
    }
  }
}

/** @returns the ranks of this process's job; undefined for a process that was started alone. */
export function joinRanks(options: CommunicatorOptions = {}): Communicator | undefined {
  const launched = launchedRanks();
  return launched && MpiCommunicator.join(launched, options);
}

function check(code: number, call: string): void {
  if (code !== 0) throw new RopewalkError(`${call} failed with the code ${code}.`);
}
