import type { BatchSource } from '../batches.ts';
import type { Teacher } from './teacher.ts';

/** Batches of another source, each with an online teacher's output for it. */
export class OnlineSource<State> implements BatchSource<State> {
  readonly #source: BatchSource<State>;
  readonly #teacher: Teacher;
  readonly #vocabSize: number;

  /** @param vocabSize the student's vocabulary size. */
  constructor(source: BatchSource<State>, teacher: Teacher, vocabSize: number) {
    this.#source = source;
    this.#teacher = teacher;
    this.#vocabSize = vocabSize;
  }

  /** The source's next batch, with the teacher's output for it. */
  async next() {
    return this.#teacher.teach(await this.#source.next(), this.#vocabSize);
  }

  state(): State {
    return this.#source.state();
  }

  restore(state: State): void {
    this.#source.restore(state);
  }
}
