import type { TrainingRows } from '../../batches.ts';
import type { CausalLM } from '../../families/family.ts';
import { countOf } from '../feeds.ts';
import type { SequenceShape } from '../graph.ts';
import type { Learner, StepResult, TrainedParameter, UpdateSettings } from '../learner.ts';
import { blankRows, dealRows, type Share } from './deal.ts';
import type { RunRanks } from './ranks.ts';

/**
 * Data parallelism: every rank holds all weights, computes on its share of a step's rows, and adds its gradients to those of
 * the others. It is given the rows of all ranks, so that a run, its data position and its checkpoints are those of one
 * process.
 */
export class RankLearner implements Learner {
  readonly #inner: Learner;
  readonly #share: Share;
  readonly #ranks: RunRanks;

  /**
   * @param inner of this rank's micro-batches.
   * @param shape the micro-batches of one process.
   * @param accumulate how many of them a step has.
   */
  constructor(
    inner: Learner,
    readonly shape: SequenceShape,
    readonly accumulate: number,
    share: Share,
    ranks: RunRanks,
  ) {
    this.#inner = inner;
    this.#share = share;
    this.#ranks = ranks;
  }

  get model(): CausalLM {
    return this.#inner.model;
  }

  get parameters(): readonly TrainedParameter[] {
    return this.#inner.parameters;
  }

  values(): Map<string, Float32Array> {
    return this.#inner.values();
  }

  step(batches: readonly TrainingRows[], settings: UpdateSettings): Promise<StepResult> {
    const tokens = batches.reduce((sum, batch) => sum + countOf(batch), 0);
    return this.#inner.step(this.#own(batches), { ...settings, together: this.#ranks.together(tokens) });
  }

  async evaluate(batches: Iterable<TrainingRows> | AsyncIterable<TrainingRows>) {
    const { loss, tokens } = await this.#inner.evaluate(this.#ownOf(batches));
    // A rank whose rows count for nothing has no mean.
    const [sum, all] = await this.#ranks.sum([tokens > 0 ? loss * tokens : 0, tokens]);
    return { loss: sum! / all!, tokens: all! };
  }

  release(): Promise<void> {
    return this.#inner.release();
  }

  #own(batches: readonly TrainingRows[]): TrainingRows[] {
    return dealRows(batches, this.shape.seq, this.#share, this.#ranks.communicator.rank);
  }

  /** This rank's held-out rows: as many batches as a step has are dealt out together. */
  async *#ownOf(batches: Iterable<TrainingRows> | AsyncIterable<TrainingRows>) {
    let group: TrainingRows[] = [];
    for await (const batch of batches) {
      group.push(batch);
      if (group.length < this.accumulate) continue;
      yield* this.#own(group);
      group = [];
    }
    if (group.length === 0) return;
    while (group.length < this.accumulate) group.push(blankRows(group[0]!));
    yield* this.#own(group);
  }
}
