import type { BatchSource } from '../batches.ts';
import type { Teacher } from './teacher.ts';

/** Batches of another source, each with what a teacher who is at hand says to it. */
export class OnlineSource<State> implements BatchSource<State> {
  /** @param vocabSize the student's. */
  constructor(
    private readonly source: BatchSource<State>,
    private readonly teacher: Teacher,
    private readonly vocabSize: number,
  ) {}

  async next() {
    return this.teacher.teach(await this.source.next(), this.vocabSize);
  }

  state(): State {
    return this.source.state();
  }

  restore(state: State): void {
    this.source.restore(state);
  }
}
