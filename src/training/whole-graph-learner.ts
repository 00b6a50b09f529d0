import type { TrainingRows } from '../batches.ts';
import type { CausalLM } from '../families/family.ts';
import { addInto } from '../kernels/kernels.ts';
import type { Engine, SessionSettings } from '../runtime/engine.ts';
import { Executable, type HostTensor } from '../runtime/executable.ts';
import { HostMemory } from '../runtime/host-memory.ts';
import { applyGradients } from './apply-gradients.ts';
import { Evaluator, weightFeeds } from './evaluator.ts';
import { contextFeeds, countOf, lossFeeds } from './feeds.ts';
import { gradientName, type SequenceShape, type TrainingGraphOptions, trainingGraph } from './graph.ts';
import type { Learner, StepResult, UpdateSettings } from './learner.ts';
import { allocateTrainable, type Trainable } from './optimizers/optimizer.ts';

export interface WholeGraphLearnerOptions extends TrainingGraphOptions {
  readonly settings?: SessionSettings;
  readonly memory?: HostMemory;
}

/**
 * A model that is trained as one graph: its weights, gradients and optimizer state in host memory, and a compiled
 * step. The caller may read and write the arrays between calls.
 */
export class WholeGraphLearner implements Learner {
  /** Gradients of further micro-batches before they are added; allocated on first use. */
  #scratch: Map<string, Float32Array> | undefined;
  #evaluator: Evaluator | undefined;

  readonly #engine: Engine;
  readonly #frozen: ReadonlyMap<string, Float32Array>;
  readonly #executable: Executable;
  readonly #options: WholeGraphLearnerOptions;

  private constructor(
    engine: Engine,
    readonly model: CausalLM,
    readonly shape: SequenceShape,
    /** Trained weights. */
    readonly trainables: readonly Trainable[],
    frozen: ReadonlyMap<string, Float32Array>,
    executable: Executable,
    options: WholeGraphLearnerOptions,
  ) {
    this.#engine = engine;
    this.#frozen = frozen;
    this.#executable = executable;
    this.#options = options;
  }

  /** @param shape number and length of the sequences in a micro-batch. */
  static async create(
    engine: Engine,
    model: CausalLM,
    shape: SequenceShape,
    options: WholeGraphLearnerOptions = {},
  ): Promise<WholeGraphLearner> {
    const { memory = new HostMemory(engine.kernelThreads), trains = () => true } = options;
    const all = [...model.parameters()].map(([name, { shape, size }]) => ({ name, shape, size }));
    const trainables = allocateTrainable(
      memory,
      all.filter(({ name }) => trains(name)),
    );
    const still = all.filter(({ name }) => !trains(name));
    const frozen = new Map(still.map(({ name, size }) => [name, memory.allocFloat32(size)]));
    const executable = await Executable.compile(
      engine,
      trainingGraph(model, shape, options),
      options.settings,
    );
    return new WholeGraphLearner(engine, model, shape, trainables, frozen, executable, options);
  }

  get parameters(): readonly Trainable[] {
    return this.trainables;
  }

  values(): Map<string, Float32Array> {
    const trained = new Map(this.trainables.map(({ name, value }) => [name, value]));
    const paths = this.model.parameters().keys();
    return new Map([...paths].map((path) => [path, (trained.get(path) ?? this.#frozen.get(path))!]));
  }

  async fill(write: (values: Map<string, Float32Array>) => void | Promise<void>): Promise<void> {
    await write(this.values());
  }

  /**
   * Computes the gradients of the mean loss over the counted tokens of all micro-batches: the sum of their losses
   * over the total count, not a mean of means.
   *
   * @param tokens counted tokens of the step, if other ranks have a share of it.
   * @returns the mean loss in nats, or this share of it, and the number of tokens it is over.
   */
  async computeGradients(
    batches: readonly TrainingRows[],
    tokens: number = batches.reduce((sum, batch) => sum + countOf(batch), 0),
  ): Promise<{ loss: number; tokens: number }> {
    let loss = 0;
    for (const [i, batch] of batches.entries()) {
      const feeds = this.#feeds(batch, 1 / Math.max(1, tokens));
      const into = i === 0 ? this.#gradientTargets() : this.#scratchTargets();
      const results = await this.#executable.run(feeds, into);
      loss += (results.loss!.data as Float32Array)[0]!;
      if (i > 0) {
        for (const { name, gradient } of this.trainables) addInto(gradient, into[gradientName(name)]!);
      }
    }
    return { loss, tokens };
  }

  /** Clips by the global norm of all gradients. */
  async step(batches: readonly TrainingRows[], settings: UpdateSettings): Promise<StepResult> {
    const measured = await this.computeGradients(batches, settings.together?.tokens);
    return applyGradients(this.trainables, measured, settings);
  }

  evaluate(batches: Iterable<TrainingRows> | AsyncIterable<TrainingRows>) {
    this.#evaluator ??= new Evaluator(this.#engine, this.model, this.shape, this.#options);
    return this.#evaluator.evaluate(batches, weightFeeds(this.model, this.values()));
  }

  async release(): Promise<void> {
    await this.#executable.release();
    await this.#evaluator?.release();
  }

  #feeds(batch: TrainingRows, factor: number): Record<string, HostTensor> {
    const weights = weightFeeds(this.model, this.values());
    return { ...contextFeeds(batch, this.shape), ...lossFeeds(batch, factor), ...weights };
  }

  #gradientTargets(): Record<string, Float32Array> {
    return Object.fromEntries(this.trainables.map(({ name, gradient }) => [gradientName(name), gradient]));
  }

  #scratchTargets(): Record<string, Float32Array> {
    this.#scratch ??= new Map(
      this.trainables.map(({ name, value }) => [name, new Float32Array(value.length)]),
    );
    return Object.fromEntries([...this.#scratch].map(([name, data]) => [gradientName(name), data]));
  }
}
