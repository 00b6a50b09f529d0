import type { TrainingRows } from '../batches.ts';
import type { CausalLM } from '../families/family.ts';
import type { Engine } from '../runtime/engine.ts';
import { createLearner, type LearnerOptions } from '../training/create-learner.ts';
import { Evaluator, weightFeeds } from '../training/evaluator.ts';
import type { SequenceShape } from '../training/graph.ts';
import type { Learner, StepResult, TrainedParameter, UpdateSettings } from '../training/learner.ts';
import { crossEntropy } from '../training/loss.ts';

/**
 * Trains with any loss, and evaluates by next-token prediction: held-out losses are then comparable with those of any
 * model with this vocabulary, and need no teacher.
 */
export class StudentLearner implements Learner {
  readonly #inner: Learner;
  readonly #evaluator: Evaluator;

  private constructor(inner: Learner, evaluator: Evaluator) {
    this.#inner = inner;
    this.#evaluator = evaluator;
  }

  static async create(
    engine: Engine,
    model: CausalLM,
    shape: SequenceShape,
    options: LearnerOptions,
  ): Promise<StudentLearner> {
    const inner = await createLearner(engine, model, shape, { ...options, evaluationLoss: crossEntropy });
    const { settings } = options;
    return new StudentLearner(inner, new Evaluator(engine, model, shape, { settings }));
  }

  get model(): CausalLM {
    return this.#inner.model;
  }

  get shape(): SequenceShape {
    return this.#inner.shape;
  }

  get parameters(): readonly TrainedParameter[] {
    return this.#inner.parameters;
  }

  get onDevice() {
    return this.#inner.onDevice;
  }

  values(): ReturnType<Learner['values']> {
    return this.#inner.values();
  }

  fill(write: (values: Map<string, Float32Array>) => void | Promise<void>): Promise<void> {
    return this.#inner.fill(write);
  }

  step(batches: readonly TrainingRows[], settings: UpdateSettings): Promise<StepResult> {
    return this.#inner.step(batches, settings);
  }

  async evaluate(batches: Iterable<TrainingRows> | AsyncIterable<TrainingRows>) {
    if (this.#inner.onDevice) return this.#inner.evaluate(batches);
    return this.#evaluator.evaluate(batches, weightFeeds(this.model, await this.values()));
  }

  async release(): Promise<void> {
    await this.#inner.release();
    await this.#evaluator.release();
  }
}
