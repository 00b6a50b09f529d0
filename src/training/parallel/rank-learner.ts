import type { TrainingRows } from '../../batches.ts';
import type { CausalLM } from '../../families/family.ts';
import { countOf } from '../feeds.ts';
import type { SequenceShape } from '../graph.ts';
import type { Learner, StepResult, Together, TrainedParameter, UpdateSettings } from '../learner.ts';
import { scattering, summing } from './combine.ts';
import { blankRows, dealRows, type Share } from './deal.ts';
import type { Parallel } from './parallel.ts';
import type { RunRanks } from './ranks.ts';
import { Slices } from './slices.ts';
import { codecOf } from './wire.ts';

/**
 * Data parallelism: every rank holds all weights, computes on its share of a step's rows, and adds its gradients to those of
 * the others. Where optimizer states are sharded, it updates its slices of the weights and receives the others. It is given the rows of all ranks, so that a run, its data position and its checkpoints are those of one
 * process.
 */
export class RankLearner implements Learner {
  readonly #inner: Learner;
  readonly #share: Share;
  readonly #ranks: RunRanks;
  readonly #combine: Together['combine'];
  /** Of the optimizer's states. */
  readonly #slices: Slices | undefined;

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
    { ranks, shard, wire, wholeWeights }: Parallel,
  ) {
    this.#inner = inner;
    this.#share = share;
    this.#ranks = ranks;
    const { communicator } = ranks;
    if (shard === 'states')
      this.#slices = new Slices(inner.parameters, communicator.rank, communicator.size, wholeWeights);
    this.#combine = this.#slices
      ? scattering(communicator, this.#slices, codecOf(wire))
      : summing(communicator, codecOf(wire));
  }

  get model(): CausalLM {
    return this.#inner.model;
  }

  /** What this rank updates. */
  get parameters(): readonly TrainedParameter[] {
    const slices = this.#slices;
    if (!slices) return this.#inner.parameters;
    return this.#inner.parameters.flatMap(({ name, shape, value }) => {
      const range = slices.rangeOf(name);
      const { start, end } = range;
      return start === end ? [] : [{ name, shape, range, value: value.subarray(start, end) }];
    });
  }

  get slices(): Slices | undefined {
    return this.#inner.slices;
  }

  values(): ReturnType<Learner['values']> {
    return this.#inner.values();
  }

  fill(write: (values: Map<string, Float32Array>) => void | Promise<void>): Promise<void> {
    return this.#inner.fill(write);
  }

  step(batches: readonly TrainingRows[], settings: UpdateSettings): Promise<StepResult> {
    const tokens = batches.reduce((sum, batch) => sum + countOf(batch), 0);
    return this.#inner.step(this.#own(batches), {
      ...settings,
      together: this.#ranks.together(tokens, this.#combine),
    });
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
