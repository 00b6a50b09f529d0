import { agree } from '../../ranks/agree.ts';
import type { Communicator } from '../../ranks/communicator.ts';
import type { Together } from '../learner.ts';

/** The ranks of one training run: what they must have in common, and how they stop at the same step. */
export class RunRanks {
  readonly #stop = new AbortController();

  constructor(
    readonly communicator: Communicator,
    /** This process's own wish to stop. */
    readonly wish: AbortSignal | undefined,
  ) {}

  /** Whether this is the rank that writes and prints. */
  get isFirst(): boolean {
    return this.communicator.rank === 0;
  }

  /** Waits until every rank is here, as long as the first rank's files and samples take. */
  wait(): Promise<void> {
    return this.communicator.barrier();
  }

  /** What the first rank does before the others do it too: it may repair what they read. */
  async firstThenOthers<T>(action: () => T | Promise<T>): Promise<T> {
    if (!this.isFirst) await this.wait();
    const result = await action();
    if (this.isFirst) await this.wait();
    return result;
  }

  /** Aborts on every rank at the same step, once any of them wishes to stop. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** What a step of `tokens` counted tokens on all ranks adds up. */
  together(tokens: number, combine: Together['combine']): Together {
    return {
      ...{ tokens, combine },
      sumLoss: async (loss) => {
        const [sum, stops] = await this.sum([loss, this.wish?.aborted ? 1 : 0]);
        if (stops! > 0) this.#stop.abort();
        return sum!;
      },
    };
  }

  async sum(numbers: readonly number[]): Promise<number[]> {
    const values = Float64Array.from(numbers);
    await this.communicator.sum([values]);
    return [...values];
  }

  /**
   * Checks that all ranks have the same of something.
   *
   * @param fields plain JSON by name.
   * @throws RopewalkError on every rank, naming a rank that differs, the field and both values.
   */
  agree(fields: Readonly<Record<string, unknown>>): Promise<void> {
    return agree(this.communicator, fields);
  }
}
