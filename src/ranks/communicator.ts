/**
 * The processes ("ranks") of one job, as far as a program needs them. All ranks call the same methods in the same order;
 * each call returns when every rank has made it. `mpi.node.ts` implements it over MPI.
 */
export interface Communicator {
  /** This process's number, from 0. */
  readonly rank: number;
  /** How many processes there are. */
  readonly size: number;
  /** Ranks on this machine, this one included. */
  readonly localSize: number;
  /**
   * Adds up arrays of the same lengths over all ranks, in place: afterwards every rank has the same bits.
   *
   * @throws RopewalkError when another rank has not answered for {@link CommunicatorOptions.timeoutMs}.
   */
  sum(arrays: readonly (Float32Array | Float64Array)[]): Promise<void>;
  /** Every rank's text, in the order of ranks. */
  gather(text: string): Promise<string[]>;
  /** Waits until every rank is here. */
  barrier(): Promise<void>;
  /** Bytes that this rank has sent, by the algorithms' theory: 2 (N - 1) / N of what was added up. */
  readonly bytesSent: number;
  /** Ends all ranks at once, this one included. For errors that not every rank has. */
  abort(exitCode: number): never;
  /** Leaves the job in order. All ranks call it. */
  leave(): Promise<void>;
}

export interface CommunicatorOptions {
  /** How long a call waits for the other ranks before it gives them up for lost, in milliseconds. Default two minutes. */
  readonly timeoutMs?: number;
}
