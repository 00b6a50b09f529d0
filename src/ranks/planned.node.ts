import type { Communicator, Pending, Sliced } from './communicator.ts';

const DONE: Pending = { wait: async () => {} };

/**
 * The first rank of a job that is only planned: it does its share of the work, and nothing travels. Sums are its own
 * values.
 */
export class PlannedRanks implements Communicator {
  readonly rank = 0;
  readonly localSize = 1;
  readonly bytesSent = 0;

  constructor(readonly size: number) {}

  /** Leaves the values as they are. */
  async sum(): Promise<void> {}

  /** Copies this rank's slices. */
  reduceScatter(parts: readonly Sliced[]): Pending {
    for (const { whole, own, bounds } of parts) own.set(whole.subarray(bounds[0], bounds[1]));
    return DONE;
  }

  /** Copies this rank's slices. */
  allGather(parts: readonly Sliced[]): Pending {
    for (const { whole, own, bounds } of parts) whole.set(own, bounds[0]);
    return DONE;
  }

  /** Nothing is received. */
  exchange(): Pending {
    return DONE;
  }

  /** As if all ranks had said the same. */
  async gather(text: string): Promise<string[]> {
    return Array.from({ length: this.size }, () => text);
  }

  /** As if the others had sent nothing. */
  async collect(bytes: Uint8Array): Promise<Uint8Array[]> {
    return Array.from({ length: this.size }, (_, rank) => (rank === 0 ? bytes : new Uint8Array(0)));
  }

  async barrier(): Promise<void> {}

  abort(exitCode: number): never {
    process.exit(exitCode);
  }

  async leave(): Promise<void> {}
}
