/**
 * The processes ("ranks") of one job. All ranks call the same methods in the same order; each call returns once every
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
   * Adds up arrays of the same lengths over all ranks, in place: afterwards every rank has the same bits.
   *
   * @throws RopewalkError if another rank has not responded for {@link CommunicatorOptions.timeoutMs}.
   */
  sum(arrays: readonly (Float32Array | Float64Array)[]): Promise<void>;
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
  /** Bytes that this rank has sent, in theory: 2 (N - 1) / N of the summed arrays. */
  readonly bytesSent: number;
  /** Ends all ranks at once, including this one. For errors that not every rank has. */
  abort(exitCode: number): never;
  /** Leaves the job cleanly. All ranks call it. */
  leave(): Promise<void>;
}

export interface CommunicatorOptions {
  /** How long a call waits for the other ranks before it considers them lost, in milliseconds. Default two minutes. */
  readonly timeoutMs?: number;
}
