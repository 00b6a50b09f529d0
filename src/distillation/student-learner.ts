import type { TrainingRows } from '../batches.ts';
import type { CausalLM } from '../families/family.ts';
import type { Engine, SessionSettings } from '../runtime/engine.ts';
import { Executable, type HostTensor } from '../runtime/executable.ts';
import { createTrainingEngine, type TrainingEngineOptions } from '../training/create-learner.ts';
import { contextFeeds, countOf, lossFeeds } from '../training/feeds.ts';
import { lossGraph, type SequenceShape } from '../training/graph.ts';
import type { StepResult, TrainedParameter, TrainingEngine, UpdateSettings } from '../training/learner.ts';

/**
 * Trains by whatever loss it is given, and evaluates by next-token prediction: held-out losses are then those of any
 * model of this vocabulary, whoever taught it, and need no teacher.
 */
export class StudentEngine implements TrainingEngine {
  private evaluation: Promise<Executable> | undefined;

  private constructor(
    private readonly engine: Engine,
    private readonly inner: TrainingEngine,
    private readonly settings: SessionSettings | undefined,
  ) {}

  static async create(
    engine: Engine,
    model: CausalLM,
    shape: SequenceShape,
    options: TrainingEngineOptions,
  ): Promise<StudentEngine> {
    const inner = await createTrainingEngine(engine, model, shape, options);
    return new StudentEngine(engine, inner, options.settings);
  }

  get model(): CausalLM {
    return this.inner.model;
  }

  get shape(): SequenceShape {
    return this.inner.shape;
  }

  get parameters(): readonly TrainedParameter[] {
    return this.inner.parameters;
  }

  values(): Map<string, Float32Array> {
    return this.inner.values();
  }

  step(batches: readonly TrainingRows[], settings: UpdateSettings): Promise<StepResult> {
    return this.inner.step(batches, settings);
  }

  async evaluate(batches: Iterable<TrainingRows> | AsyncIterable<TrainingRows>) {
    this.evaluation ??= this.compile();
    const executable = await this.evaluation;
    const parameters = this.model.parameters();
    const weights: Record<string, HostTensor> = {};
    for (const [name, data] of this.values()) weights[name] = { data, shape: parameters.get(name)!.shape };
    let sum = 0;
    let tokens = 0;
    for await (const rows of batches) {
      const feeds = { ...contextFeeds(rows, this.shape), ...lossFeeds(rows, 1), ...weights };
      const { loss } = await executable.run(feeds);
      sum += (loss!.data as Float32Array)[0]!;
      tokens += countOf(rows);
    }
    return { loss: sum / tokens, tokens };
  }

  async release(): Promise<void> {
    await this.inner.release();
    await (await this.evaluation)?.release();
  }

  private compile(): Promise<Executable> {
    const { loss } = lossGraph(this.model, this.shape);
    return Executable.compile(this.engine, new Map([['loss', loss]]), this.settings);
  }
}
