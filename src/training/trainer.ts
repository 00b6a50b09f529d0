import { z } from 'zod';
import type { BatchSource, TrainingRows } from '../batches.ts';
import { RopewalkError, said } from '../errors.ts';
import { count, notNegative, OptionError, parseOptions, wholeNumber } from '../options.ts';
import { firstNotFiniteArray, NotFiniteError } from './finite.ts';
import { LossGuard } from './guard.ts';
import type { Learner, StepResult } from './learner.ts';
import { type NewRowsPhase, newRowsOf } from './new-rows.ts';
import { isOnDevice } from './on-device/device-optimizer.ts';
import type { Optimizer } from './optimizers/optimizer.ts';
import { Pace } from './runs/pace.ts';
import { createSchedule, type Schedule, type ScheduleSettings, scheduleSettings } from './schedule.ts';
import type { EvaluationEvent, EvaluationRecord, TrainEvent, TrainerState } from './train-event.ts';

export type {
  EvaluationEvent,
  TrainEvent,
  TrainerState,
} from './train-event.ts';

/** The settings that control a run; see `trainingOptions`. */
export interface TrainerSettings extends Omit<ScheduleSettings, 'warmup'> {
  readonly warmup: number;
  /** Micro-batches whose gradients are accumulated for one step. */
  readonly accumulate: number;
  /** Gradients are scaled down to this global norm; 0 for no clipping. */
  readonly clip: number;
  /** Steps between evaluations, and between checkpoints; 0 for only at the end. */
  readonly evalEvery: number;
  readonly saveEvery: number;
  /** Whether to evaluate before the first step too. Default false. */
  readonly evaluateFirst?: boolean;
  /** Training ends after this many evaluations without a lower loss, or score. Default 0: never. */
  readonly patience?: number;
  /** Batches whose loss is this many standard deviations above recent ones are skipped. Default 0: none. */
  readonly guard?: number;
}

/** The parts of a trainer. */
export interface TrainerParts {
  readonly learner: Learner;
  readonly training: BatchSource;
  /** Held-out rows from the beginning, for each evaluation; if absent, there are no evaluations. */
  readonly validation?: () => Iterable<TrainingRows> | AsyncIterable<TrainingRows>;
  /** The score of the current weights, which decides which are the best; lower is better. Default the held-out loss. */
  readonly score?: (() => Promise<number>) | undefined;
  readonly optimizer: Optimizer;
  /** A beginning in which only the rows of new tokens are updated; the optimizer must have them. */
  readonly newRows?: NewRowsPhase | undefined;
  /** Called when a value is not finite, with the batches of that step: names the first such tensor if it can. */
  readonly diagnose?: (batches: readonly TrainingRows[]) => Promise<string | undefined>;
}

/** The number of losses that the guard compares with. */
const GUARD_WINDOW = 64;

const NO_EVALUATIONS: EvaluationRecord = { last: -1, best: null, since: 0, base: null };

/** Trains a learner's model on batches. It only runs while the next event is being awaited. */
export class Trainer {
  readonly #schedule: Schedule;
  readonly #guard: LossGuard | undefined;
  #step = 0;
  #tokens = 0;
  #evaluations = NO_EVALUATIONS;
  /** The step of this process's last evaluation: a finished run that is resumed is evaluated again. */
  #lastEvaluation = -1;
  /** The step of the newest checkpoint; 0 if there is none. */
  #saved = 0;
  #lastBatches: readonly TrainingRows[] = [];

  readonly #parts: TrainerParts;
  readonly #settings: TrainerSettings;

  constructor(parts: TrainerParts, settings: TrainerSettings) {
    this.#parts = parts;
    this.#settings = settings;
    const { steps, accumulate, patience = 0, guard = 0, schedule, lr, warmup } = settings;
    const check = (name: string, schema: z.ZodType, value: unknown) =>
      parseOptions(z.strictObject({ [name]: schema }), { [name]: value });
    check('steps', count, steps);
    check('accumulate', count, accumulate);
    check('patience', wholeNumber, patience);
    check('guard', notNegative, guard);
    if (patience > 0 && !parts.validation) {
      throw new OptionError('patience', 'it counts evaluations, but no data is held out; hold some out.');
    }
    this.#schedule = createSchedule({ schedule, lr, steps, warmup, ...scheduleSettings(settings) });
    this.#guard = guard > 0 ? new LossGuard({ zScore: guard, window: GUARD_WINDOW }) : undefined;
  }

  /** Whether all steps are done. Only the evaluation after the last one remains. */
  get finished(): boolean {
    return this.#step >= this.#settings.steps || this.#stoppedEarly;
  }

  get #stoppedEarly(): boolean {
    const { patience = 0 } = this.#settings;
    return patience > 0 && this.#evaluations.since >= patience;
  }

  /** Resumes from a saved state. The caller restores the weights. */
  restore(state: TrainerState): void {
    this.#parts.training.restore(state.sampler);
    this.#parts.optimizer.restore(state.optimizer);
    if (state.guard) this.#guard?.restore(state.guard);
    if (state.lossScale) this.#parts.learner.lossScale?.restore(state.lossScale);
    this.#evaluations = state.evaluations;
    this.#step = state.step;
    this.#saved = state.step;
    this.#tokens = state.tokens;
  }

  /** The best weights are lost: the next ones to be evaluated count as the best so far. */
  forgetBest(): void {
    this.#evaluations = { ...this.#evaluations, best: null, since: 0 };
  }

  /** The state in a checkpoint besides the weights, from which `restore` resumes. */
  state(): TrainerState {
    const step = this.#step;
    const tokens = this.#tokens;
    const evaluations = this.#evaluations;
    const guard = this.#guard;
    const parts = this.#parts;
    const { training, optimizer, learner } = parts;
    return {
      ...{ step, tokens, evaluations, sampler: training.state(), optimizer: optimizer.state() },
      ...(guard && { guard: guard.state() }),
      ...(learner.lossScale && { lossScale: learner.lossScale.state() }),
    };
  }

  /** The same for saving: where the host cannot wait for a device, the optimizer's arrays are copied from there. */
  async stateToSave(): Promise<TrainerState> {
    const { optimizer } = this.#parts;
    const state = this.state();
    return isOnDevice(optimizer) ? { ...state, optimizer: await optimizer.stateToSave() } : state;
  }

  /** @param signal ends training after the current step, with a last checkpoint. */
  async *run(signal?: AbortSignal): AsyncGenerator<TrainEvent, void> {
    const settings = this.#settings;
    const schedule = this.#schedule;
    const pace = new Pace();
    if (settings.evaluateFirst && this.#step === 0) yield* this.#evaluation();
    while (!this.finished && !signal?.aborted) {
      const started = performance.now();
      const batches: (TrainingRows & { readonly epoch: number })[] = [];
      while (batches.length < settings.accumulate) batches.push(await this.#parts.training.next());
      // The schedule counts from 0, where a warm-up's rate is 0: the first step uses the second value.
      const learningRate = schedule(settings.warmup > 0 ? this.#step + 1 : this.#step);
      const { loss, tokens, gradientNorm, skipped, overflowed } = await this.#make(batches, learningRate);
      this.#step++;
      this.#tokens += tokens;
      pace.add(tokens, (performance.now() - started) / 1000);
      yield {
        type: 'step',
        step: this.#step,
        epoch: batches[0]!.epoch,
        loss,
        learningRate,
        gradientNorm: Number.isNaN(gradientNorm) ? null : gradientNorm,
        tokens: this.#tokens,
        ...(skipped !== undefined && { skipped }),
        ...(overflowed !== undefined && { overflowed }),
        tokensPerSecond: pace.tokensPerSecond,
        secondsPerStep: pace.secondsPerStep,
        secondsLeft: pace.secondsPerStep * (settings.steps - this.#step),
      };
      this.#lastBatches = batches;
      if (due(this.#step, settings.evalEvery) && this.#step < settings.steps) yield* this.#evaluation();
      if (due(this.#step, settings.saveEvery) && !this.finished) yield* this.#checkpoint(false);
    }
    const { finished } = this;
    if (finished && this.#lastEvaluation !== this.#step) yield* this.#evaluation();
    const { best } = this.#evaluations;
    if (this.#stoppedEarly && best) yield { type: 'stopped', step: this.#step, best };
    if (finished || this.#saved !== this.#step) yield* this.#checkpoint(finished);
  }

  /** Loss and perplexity on the held-out rows. @throws RopewalkError if the loss is not finite. */
  async evaluate(): Promise<EvaluationEvent> {
    const { learner, validation } = this.#parts;
    if (!validation) throw new RopewalkError('there are no held-out rows to evaluate; pass some.');
    const { loss, tokens } = await learner.evaluate(validation());
    if (!Number.isFinite(loss)) {
      const [first] = await take(validation(), 1);
      throw await this.#stopped(`the held-out loss is ${loss}`, first ? [first] : []);
    }
    const score = await this.#parts.score?.();
    this.#lastEvaluation = this.#step;
    const { best: before, since, last } = this.#evaluations;
    const [base, baseScore] =
      this.#step === 0 ? [loss, score] : [this.#evaluations.base, this.#evaluations.baseScore];
    // Evaluating a step twice adds no information.
    const counts = this.#step > 0 && last !== this.#step;
    const scored = { ...(score !== undefined && { score }) };
    const worth = score ?? loss;
    const bestTrained = counts
      ? !before || worth < (before.score ?? before.loss)
      : before?.step === this.#step;
    const bases = { base, ...(baseScore !== undefined && { baseScore }) };
    this.#evaluations = { ...this.#evaluations, ...bases };
    if (counts) {
      this.#evaluations = bestTrained
        ? { last: this.#step, best: { step: this.#step, loss, ...scored }, since: 0, ...bases }
        : { last: this.#step, best: before, since: since + 1, ...bases };
    }
    const first = score === undefined ? base : (baseScore ?? null);
    const best = bestTrained && (first === null || worth < first);
    const measured = { loss, perplexity: Math.exp(loss), tokens, ...scored };
    return { type: 'evaluation', step: this.#step, ...measured, best, bestTrained, base };
  }

  /** The moment to save, unless the weights or their loss are not finite: those do not replace good ones. */
  async *#checkpoint(last: boolean): AsyncGenerator<TrainEvent, void> {
    const { learner } = this.#parts;
    const state = await this.stateToSave();
    const bad = firstNotFiniteArray(await learner.values()) ?? firstNotFiniteArray(momentsOf(state));
    if (bad !== undefined) throw await this.#stopped(`${bad} is not finite after this step`);
    if (this.#lastEvaluation !== this.#step && this.#lastBatches.length > 0) {
      const { loss, tokens } = await learner.evaluate(this.#lastBatches.slice(0, 1));
      if (tokens > 0 && !Number.isFinite(loss))
        throw await this.#stopped(`the loss after this step is ${loss}`, this.#lastBatches);
    }
    yield { type: 'checkpoint', step: this.#step, state, last };
    this.#saved = this.#step;
  }

  /** The error that ends a run with non-finite values. @param batches rows that show them. */
  async #stopped(why: string, batches: readonly TrainingRows[] = [], step = this.#step) {
    const found = batches.length > 0 ? await this.#parts.diagnose?.(batches) : undefined;
    const text = found === undefined ? why : `${found} (${why})`;
    if (step === 0) {
      return new NotFiniteError(
        `the model gives no finite loss before its first step: ${text}. Its weights are damaged, or the held-out rows are more than it can compute.`,
      );
    }
    const saved =
      this.#saved > 0
        ? `the checkpoint of step ${this.#saved} is untouched`
        : 'no checkpoint was saved before';
    return new NotFiniteError(
      `training stopped at step ${step}: ${text}. Lower the learning rate or clip gradients; ${saved}.`,
    );
  }

  async *#evaluation(): AsyncGenerator<TrainEvent, void> {
    if (this.#parts.validation) yield await this.evaluate();
  }

  /** One step of the learner, unless the guard rejects its batches. */
  async #make(
    batches: readonly TrainingRows[],
    learningRate: number,
  ): Promise<StepResult & { readonly skipped?: number }> {
    const { learner, optimizer, newRows } = this.#parts;
    const guard = this.#guard;
    let zScore = 0;
    const accept =
      guard &&
      (({ loss }: { readonly loss: number }) => {
        zScore = guard.zScore(loss);
        return guard.accept(loss);
      });
    const { clip } = this.#settings;
    try {
      const result = await learner.step(batches, {
        optimizer,
        learningRate,
        clip,
        ...(accept && { accept }),
        ...(newRows &&
          this.#step < newRows.steps && { select: (parameters) => newRowsOf(parameters, newRows) }),
      });
      return result.updated || result.overflowed !== undefined ? result : { ...result, skipped: zScore };
    } catch (error) {
      if (!(error instanceof RopewalkError)) throw error;
      if (error instanceof NotFiniteError) throw await this.#stopped(error.message, batches, this.#step + 1);
      throw new RopewalkError(said`training stopped at step ${this.#step + 1}: ${error}`, { cause: error });
    }
  }
}

function due(step: number, every: number): boolean {
  return every > 0 && step % every === 0;
}

/** The float32 arrays of an optimizer's state, by their names in messages. */
function* momentsOf({ optimizer }: TrainerState): Generator<[string, Float32Array]> {
  for (const [name, tensor] of optimizer.tensors) {
    if (tensor.dtype === 'F32') yield [`the optimizer's ${name}`, tensor.data];
  }
}

async function take<T>(all: Iterable<T> | AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  for await (const one of all) {
    taken.push(one);
    if (taken.length >= count) break;
  }
  return taken;
}
