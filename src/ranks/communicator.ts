/**
 * The processes ("ranks") of one job. All ranks call the same methods in the same order; each call is done once every
 * rank has made it. `mpi.node.ts` implements it over MPI.
 */
export interface Communicator {
  /** This process's number, from 0. */
  readonly rank: number;
  /** How many processes there are. */
  readonly size: number;
  /** The number of ranks on this machine, including this one. */
  readonly localSize: number;
  /**
   * Adds up arrays of the same lengths over all ranks, in place: afterwards every rank has the same bits, and again with
   * as many ranks.
   *
   * @param codec of float32 values on their way; float64 values travel as they are.
   * @throws RopewalkError if another rank has not responded for {@link CommunicatorOptions.timeoutMs}.
   */
  sum(arrays: readonly (Float32Array | Float64Array)[], codec?: Codec): Promise<void>;
  /**
   * Starts to add up arrays over all ranks, in the order of the ranks; each rank receives the sums of its own slices. What a
   * rank adds itself does not travel, so a codec does not round it.
   *
   * @param parts their arrays are whole, and must not change until it is done.
   */
  reduceScatter(parts: readonly Sliced[], codec?: Codec): Pending;
  /** Starts to give every rank's slices to all others. @param parts `own` is what this rank gives. */
  allGather(parts: readonly Sliced[], codec?: Codec): Pending;
  /**
   * Starts to send each rank an array, and to receive one from each. Those of this rank to itself are ignored.
   *
   * @param longest elements of the longest of all ranks' arrays: the same number on every rank.
   */
  exchange(
    send: readonly Float32Array[],
    receive: readonly Float32Array[],
    longest: number,
    codec?: Codec,
  ): Pending;
  /** Every rank's text, in rank order. */
  gather(text: string): Promise<string[]>;
  /**
   * Every rank's bytes, in rank order, on the first rank; nothing on the others.
   *
   * @throws RopewalkError as `sum` does.
   */
  collect(bytes: Uint8Array): Promise<Uint8Array[]>;
  /** Waits until all ranks have called it. */
  barrier(): Promise<void>;
  /** Bytes that this rank has sent to others. */
  readonly bytesSent: number;
  /** Ends all ranks at once, including this one. For errors that not every rank has. */
  abort(exitCode: number): never;
  /** Leaves the job cleanly. All ranks call it. */
  leave(): Promise<void>;
}

/** An array that is divided among the ranks. */
export interface Sliced {
  /** All of it. */
  readonly whole: Float32Array;
  /** This rank's slice, there or elsewhere. */
  readonly own: Float32Array;
  /** Rank r has elements `bounds[r]` to `bounds[r + 1]`. */
  readonly bounds: readonly number[];
}

/** Communication in the background. */
export interface Pending {
  /** Waits until it is done. */
  wait(): Promise<void>;
}

/** A shorter form of float32 values on their way between ranks: 16 bits each. */
export interface Codec {
  encode(values: Float32Array, codes: Uint16Array): void;
  decode(codes: Uint16Array, values: Float32Array): void;
}

export interface CommunicatorOptions {
  /**
   * How long a call waits for the other ranks before it considers them lost, in milliseconds. Default two minutes; with ranks
   * on several machines, at least 20 seconds.
   */
  readonly timeoutMs?: number;
}
