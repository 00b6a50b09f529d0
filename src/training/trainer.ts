import { RopewalkError } from '../errors.ts';
import { BatchSampler, type BatchSamplerState, evaluationBatches } from '../text/batches.ts';
import { AdamW, type OptimizerState } from './optimizer.ts';
import { createSchedule, type Schedule } from './schedule.ts';
import type { TrainingSession } from './session.ts';

export interface TrainerSettings {
  readonly steps: number;
  /** Micro-batches whose gradients are added up for one step. */
  readonly accumulate: number;
  readonly learningRate: number;
  readonly schedule: 'cosine' | 'linear' | 'constant';
  readonly warmupSteps: number;
  /** The cosine's end, as a share of the peak. */
  readonly minimumRatio: number;
  readonly weightDecay: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  /** Gradients are scaled down to this global norm; 0 for never. */
  readonly clipNorm: number;
  /** Steps between evaluations, and between checkpoints; 0 for only at the end. */
  readonly evaluateEvery: number;
  readonly checkpointEvery: number;
  readonly seed: number;
}

/** Everything, besides the weights, that the next step depends on. */
export interface TrainerState {
  readonly step: number;
  readonly tokens: number;
  readonly sampler: BatchSamplerState;
  readonly optimizer: OptimizerState;
}

export type TrainEvent =
  | {
      readonly type: 'step';
      /** Steps made, this one included. */
      readonly step: number;
      readonly epoch: number;
      /** Mean loss of this step's tokens before its update, in nats. */
      readonly loss: number;
      readonly learningRate: number;
      /** Before clipping. */
      readonly gradientNorm: number;
      readonly tokens: number;
      readonly tokensPerSecond: number;
      readonly secondsLeft: number;
    }
  | {
      readonly type: 'evaluation';
      readonly step: number;
      readonly loss: number;
      readonly perplexity: number;
      readonly tokens: number;
    }
  /** The moment to save: the state is that after `step`, until the next event is asked for. */
  | {
      readonly type: 'checkpoint';
      readonly step: number;
      readonly state: TrainerState;
      readonly last: boolean;
    };

/** Trains a session on tokens. Ask for events one after another; between two of them nothing runs. */
export class Trainer {
  private readonly sampler: BatchSampler;
  private readonly optimizer: AdamW;
  private readonly schedule: Schedule;
  private step = 0;
  private tokens = 0;
  private lastEvaluation = -1;

  constructor(
    private readonly session: TrainingSession,
    private readonly data: { readonly training: Int32Array; readonly validation: Int32Array },
    private readonly settings: TrainerSettings,
  ) {
    const { batch, seq } = session.shape;
    for (const name of ['steps', 'accumulate'] as const) {
      if (!Number.isInteger(settings[name]) || settings[name] < 1) {
        throw new RopewalkError(`${name} must be a whole number of at least 1, but is ${settings[name]}.`);
      }
    }
    this.schedule = createSchedule({
      kind: settings.schedule,
      learningRate: settings.learningRate,
      warmupSteps: settings.warmupSteps,
      totalSteps: settings.steps,
      minimumRatio: settings.minimumRatio,
    });
    this.sampler = new BatchSampler({ tokens: data.training, batch, seq, seed: settings.seed });
    const { betas, eps, weightDecay } = settings;
    this.optimizer = new AdamW(session.trainables, { betas, eps, weightDecay });
  }

  /** Whether all steps are made. What remains is the evaluation after the last one. */
  get finished(): boolean {
    return this.step >= this.settings.steps;
  }

  /** Goes on where a saved state was. The weights are the caller's to restore. */
  restore(state: TrainerState): void {
    this.sampler.restore(state.sampler);
    this.optimizer.restore(state.optimizer);
    this.step = state.step;
    this.tokens = state.tokens;
  }

  state(): TrainerState {
    const { step, tokens } = this;
    return { step, tokens, sampler: this.sampler.state(), optimizer: this.optimizer.state() };
  }

  /** @param signal ends training after the step at hand, with a last checkpoint. */
  async *run(signal?: AbortSignal): AsyncGenerator<TrainEvent, void> {
    const { settings, session, schedule } = this;
    const pace = new Pace();
    let saved = this.step;
    while (this.step < settings.steps && !signal?.aborted) {
      const started = performance.now();
      const batches = Array.from({ length: settings.accumulate }, () => this.sampler.next());
      // The schedule counts from 0, where a warm-up's rate is 0: the first step takes the second value.
      const learningRate = schedule(settings.warmupSteps > 0 ? this.step + 1 : this.step);
      const { optimizer } = this;
      const { loss, tokens, gradientNorm } = await session
        .step(batches, { optimizer, learningRate, clipNorm: settings.clipNorm })
        .catch((error: unknown) => {
          if (!(error instanceof RopewalkError)) throw error;
          throw new RopewalkError(`training stopped at step ${this.step + 1}: ${error.message}`, {
            cause: error,
          });
        });
      this.step++;
      this.tokens += tokens;
      pace.add(tokens, (performance.now() - started) / 1000);
      yield {
        type: 'step',
        step: this.step,
        epoch: batches[0]!.epoch,
        loss,
        learningRate,
        gradientNorm,
        tokens: this.tokens,
        tokensPerSecond: pace.tokensPerSecond,
        secondsLeft: pace.secondsPerStep * (settings.steps - this.step),
      };
      if (due(this.step, settings.evaluateEvery) && this.step < settings.steps) yield await this.evaluate();
      if (due(this.step, settings.checkpointEvery) && this.step < settings.steps) {
        saved = this.step;
        yield { type: 'checkpoint', step: this.step, state: this.state(), last: false };
      }
    }
    const { finished } = this;
    if (finished && this.lastEvaluation !== this.step) yield await this.evaluate();
    if (finished || saved !== this.step) {
      yield { type: 'checkpoint', step: this.step, state: this.state(), last: finished };
    }
  }

  /** Loss and perplexity on the held-out tokens. */
  async evaluate(): Promise<TrainEvent> {
    const { batch, seq } = this.session.shape;
    const { loss, tokens } = await this.session.evaluate(evaluationBatches(this.data.validation, batch, seq));
    this.lastEvaluation = this.step;
    return { type: 'evaluation', step: this.step, loss, perplexity: Math.exp(loss), tokens };
  }
}

function due(step: number, every: number): boolean {
  return every > 0 && step % every === 0;
}

/** Speed as an exponential mean over recent steps: it follows changes, and one slow step does not spoil it. */
class Pace {
  private seconds = 0;
  private tokens = 0;
  private weight = 0;

  add(tokens: number, seconds: number): void {
    const keep = 0.9;
    this.seconds = keep * this.seconds + seconds;
    this.tokens = keep * this.tokens + tokens;
    this.weight = keep * this.weight + 1;
  }

  get tokensPerSecond(): number {
    return this.tokens / this.seconds;
  }

  get secondsPerStep(): number {
    return this.seconds / this.weight;
  }
}
