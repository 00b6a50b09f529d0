import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { RopewalkError } from '../errors.ts';
import type { Pending } from './communicator.ts';
import type { MpiLibrary } from './mpi-library.node.ts';
import { Staging } from './transfer.ts';

/** A call that MPI begins and completes later. */
export interface Call {
  readonly name: string;
  start(request: bigint, staging: Staging): number;
  finish(staging: Staging): void;
}

interface Job {
  readonly calls: readonly Call[];
  readonly timeoutMs: number;
  started: number;
  finished: number;
  resolve(): void;
  reject(error: unknown): void;
}

interface Flight {
  readonly job: Job;
  readonly call: Call;
  readonly place: Place;
}

/** Where a call in flight has its request and its data. */
interface Place {
  readonly staging: Staging;
  readonly request: BigUint64Array;
}

/** Calls in flight: while the data of one travels, the next one's are packed. */
const IN_FLIGHT = 2;

/**
 * Calls of MPI in the order in which they were added, which must be the same on all ranks. They are started without
 * waiting and polled with `MPI_Test`: the library only makes progress while it is called, and a thread blocked inside it
 * would notice neither signals nor a lost connection. While someone waits, they are polled at every turn of the event
 * loop, otherwise once a millisecond.
 */
export class MpiQueue {
  readonly #mpi: MpiLibrary;
  readonly #rank: number;
  readonly #jobs: Job[] = [];
  readonly #flights: Flight[] = [];
  readonly #free: Place[] = [];
  readonly #ranks: number;
  #waiting = 0;
  #isDriven = false;
  /** When a call was last started by an idle queue, or completed. */
  #progress = 0;

  constructor(mpi: MpiLibrary, rank: number, ranks: number) {
    this.#mpi = mpi;
    this.#rank = rank;
    this.#ranks = ranks;
  }

  /** @param timeoutMs how long the other ranks may take for one of them. */
  add(calls: readonly Call[], timeoutMs: number): Pending {
    const done = new Promise<void>((resolve, reject) => {
      if (calls.length === 0) resolve();
      else this.#jobs.push({ calls, timeoutMs, started: 0, finished: 0, resolve, reject });
    });
    // An error is reported to whoever waits.
    done.catch(() => {});
    if (!this.#isDriven) void this.#drive();
    return {
      wait: async () => {
        this.#waiting++;
        try {
          await done;
        } finally {
          this.#waiting--;
        }
      },
    };
  }

  async #drive(): Promise<void> {
    this.#isDriven = true;
    this.#progress = performance.now();
    try {
      while (this.#jobs.length > 0) {
        this.#startCalls();
        if (this.#complete()) continue;
        this.#checkTime();
        await (this.#waiting > 0 ? nextTurn() : pause(1));
      }
    } catch (error) {
      for (const job of this.#jobs.splice(0)) job.reject(error);
      this.#flights.length = 0;
    } finally {
      this.#isDriven = false;
    }
  }

  #startCalls(): void {
    for (const job of this.#jobs) {
      while (job.started < job.calls.length) {
        if (this.#flights.length >= IN_FLIGHT) return;
        const call = job.calls[job.started++]!;
        const place = this.#free.pop() ?? {
          staging: new Staging(this.#ranks),
          request: new BigUint64Array(1),
        };
        check(call.start(this.#mpi.koffi.address(place.request) as bigint, place.staging), call.name);
        this.#flights.push({ job, call, place });
      }
    }
  }

  /** Completes the first call in flight if it is done. All are tested, so that all make progress. */
  #complete(): boolean {
    const done = this.#flights.map(({ place }) => this.#isDone(place));
    if (!done[0]) return false;
    const { job, call, place } = this.#flights.shift()!;
    call.finish(place.staging);
    this.#free.push(place);
    this.#progress = performance.now();
    if (++job.finished === job.calls.length) {
      this.#jobs.shift();
      job.resolve();
    }
    return true;
  }

  #isDone({ request }: Place): boolean {
    const { koffi, test, ignore } = this.#mpi;
    const flag = [0];
    check(test(koffi.address(request), flag, ignore), 'MPI_Test');
    return flag[0] !== 0;
  }

  #checkTime(): void {
    const { timeoutMs } = this.#jobs[0]!;
    if (performance.now() - this.#progress <= timeoutMs) return;
    throw new RopewalkError(
      `no other rank has answered rank ${this.#rank} for ${Math.round(timeoutMs / 1000)} s: one of them hangs, or the connection to it is lost.`,
    );
  }
}

/** @throws RopewalkError for a code of MPI that means an error. */
export function check(code: number, call: string): void {
  if (code !== 0) throw new RopewalkError(`${call} failed with the code ${code}.`);
}
