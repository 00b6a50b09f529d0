import type { BatchSource, TrainingRows } from '../batches.ts';
import type { ChatTemplate } from '../chat/template.ts';
import { evaluationRows, PackedSource } from '../data/packed-source.ts';
import type { DatasetView } from '../data/view.ts';
import { splitDataset } from '../data/view.ts';
import { RopewalkError } from '../errors.ts';
import type { Locale } from '../inspect/labels.ts';
import { nodeEngine } from '../runtime/engine.node.ts';
import type { Engine } from '../runtime/engine.ts';
import { createLearner } from '../training/create-learner.ts';
import { frozenBy } from '../training/freeze.ts';
import type { Learner, TrainedParameter } from '../training/learner.ts';
import type { Loss } from '../training/loss.ts';
import { createOptimizer } from '../training/optimizers/create-optimizer.ts';
import type { Optimizer } from '../training/optimizers/optimizer.ts';
import type { TrainerSettings } from '../training/trainer.ts';
import { thisMachine } from './machine.node.ts';
import { type BaseModel, openBaseModel } from './model.node.ts';
import { type DataSize, type FinetunePlan, planFinetune } from './plan.ts';
import {
  checkSettings,
  type FinetuneInput,
  type FinetuneSettings,
  finetuneSettings,
  kebab,
} from './settings.ts';

/** Examples, or what makes them of a model's tokenizer and template. */
export type FinetuneData = DatasetView | ((base: BaseModel, now: Date) => Promise<ClosableView>);

/** A view that may lie in files. */
export interface ClosableView extends DatasetView {
  readonly trainedTokens?: number;
  close?(): Promise<void>;
}

export interface JobOptions extends FinetuneInput {
  /** Threads of the engine; by default its own choice. */
  readonly threads?: number;
  /** An engine instead of one of this machine's processor. */
  readonly engine?: Engine;
  /** A chat template instead of the model's own, or the name of another one of the model's or of ours. */
  readonly template?: ChatTemplate | string;
  /** The day that templates tell which ask for it; default today. */
  readonly now?: Date;
  /** What the model is called where its path is one of a cache. */
  readonly name?: string;
  /** The language that the report shows first; default English. */
  readonly locale?: Locale;
  /** What is minimised; default cross-entropy. Its graph may have inputs of its own, fed by {@link prepareRows}. */
  readonly loss?: Loss;
  /** Makes the optimizer, in place of the one that `optimizer` names. */
  readonly createOptimizer?: (parameters: readonly TrainedParameter[]) => Optimizer;
  /** Changes micro-batches, of training and of evaluation, before they are used: adds what a loss of its own needs. */
  readonly prepareRows?: (rows: TrainingRows) => TrainingRows | Promise<TrainingRows>;
}

/** The settings of a job among all that its options hold. */
export function settingsOf(options: object): FinetuneSettings {
  const own = Object.entries(options).filter(
    ([name, value]) => name in finetuneSettings.shape && value !== undefined,
  );
  const settings = checkSettings(finetuneSettings, Object.fromEntries(own), (name) => `--${kebab(name)}`);
  if (settings.memory === 'light' && settings.accumulate > 1) {
    throw new RopewalkError(
      `--memory light updates weights as their gradients come, which allows one micro-batch a step, but --accumulate is ${settings.accumulate}; leave it out, or choose --memory recompute.`,
    );
  }
  if (settings.optimizer !== 'adamw' && settings.states !== 'float32') {
    throw new RopewalkError(
      `--states ${settings.states} is for --optimizer adamw; ${settings.optimizer} has no such states.`,
    );
  }
  return settings;
}

/** A fine-tuning that is thought through: model, data, settings and plan, before anything large is allocated. */
export class FinetuneJob {
  readonly #views: { readonly training: DatasetView; readonly validation: DatasetView };
  readonly #dataset: ClosableView;
  readonly #trains: (path: string) => boolean;

  private constructor(
    readonly base: BaseModel,
    readonly settings: FinetuneSettings,
    readonly options: JobOptions,
    readonly engine: Engine,
    readonly plan: FinetunePlan,
    readonly dataIdentity: string,
    views: { readonly training: DatasetView; readonly validation: DatasetView },
    dataset: ClosableView,
    trains: (path: string) => boolean,
  ) {
    this.#views = views;
    this.#dataset = dataset;
    this.#trains = trains;
  }

  /** @throws RopewalkError for settings, a model or data that do not fit together. */
  static async open(model: string, data: FinetuneData, options: JobOptions): Promise<FinetuneJob> {
    const settings = settingsOf(options);
    const { addToken, seq, batch, pack, seed } = settings;
    const base = await openBaseModel(model, { addToken, template: options.template, name: options.name });
    let dataset: ClosableView | undefined;
    try {
      if (seq > base.model.maxPositions) {
        throw new RopewalkError(
          `--seq ${seq} is longer than the ${base.model.maxPositions} positions of ${base.name}; choose a smaller one.`,
        );
      }
      const trains = frozenBy(base.model, settings.freeze);
      dataset = typeof data === 'function' ? await data(base, options.now ?? new Date()) : data;
      const views = splitDataset(dataset, settings.validation, seed);
      const { batchesPerEpoch } = new PackedSource(views.training, { batch, seq, pack, seed });
      const size = await sizeOf(dataset, views, batchesPerEpoch);
      const { loss } = options;
      const machine = thisMachine();
      const plan = planFinetune({ model: base.model, trains, settings, data: size, machine, loss });
      const engine =
        options.engine ?? nodeEngine(options.threads === undefined ? {} : { threads: options.threads });
      return new FinetuneJob(base, settings, options, engine, plan, dataset.identity, views, dataset, trains);
    } catch (error) {
      await base.close();
      await dataset?.close?.();
      throw error;
    }
  }

  /** Whether anything is held out. */
  get evaluates(): boolean {
    return this.#views.validation.size > 0;
  }

  /** @throws RopewalkError naming the options that would make the plan fit, when it does not. */
  checkFits(): void {
    const { fits, memory, machine, remedies } = this.plan;
    if (fits) return;
    const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
    const [best] = remedies;
    throw new RopewalkError(
      `this needs about ${gigabytes(memory.total)} of memory, but ${gigabytes(machine.availableMemory)} of ${gigabytes(machine.totalMemory)} are to be had; ` +
        (best
          ? `with ${best.options} it would fit (${gigabytes(best.total)}).`
          : 'no option makes it fit: choose a smaller model.'),
    );
  }

  /** The engine with the base model's weights in it. */
  async createLearner(): Promise<Learner> {
    const { base, settings, options } = this;
    const trains = this.#trains;
    const { batch, seq, pack, memory } = settings;
    const { loss } = options;
    const shape = { batch, seq, packed: pack };
    const training = await createLearner(this.engine, base.model, shape, {
      memory,
      trains,
      ...(loss && { loss }),
    });
    await base.readWeights(training.values());
    return training;
  }

  createOptimizer(training: Learner): Optimizer {
    const { optimizer, states, beta1, beta2, eps, weightDecay, seed } = this.settings;
    const { parameters } = training;
    if (this.options.createOptimizer) return this.options.createOptimizer(parameters);
    const options = {
      adamw: { states, betas: [beta1, beta2], eps, weightDecay, seed } as const,
      adafactor: { weightDecay, seed },
      sgd: {},
    };
    return createOptimizer(optimizer, parameters, options[optimizer]);
  }

  trainingRows(): BatchSource {
    const { batch, seq, pack, seed } = this.settings;
    const source = new PackedSource(this.#views.training, { batch, seq, pack, seed });
    const { prepareRows } = this.options;
    if (!prepareRows) return source as BatchSource;
    return {
      next: async () => {
        const rows = await source.next();
        return { ...(await prepareRows(rows)), epoch: rows.epoch };
      },
      state: () => source.state(),
      restore: (state) => source.restore(state as ReturnType<typeof source.state>),
    };
  }

  /** The held-out rows from their beginning. */
  async *validationRows(): AsyncGenerator<TrainingRows, void> {
    const { batch, seq, pack } = this.settings;
    const { prepareRows = (rows: TrainingRows) => rows } = this.options;
    for await (const rows of evaluationRows(this.#views.validation, { batch, seq, pack }))
      yield await prepareRows(rows);
  }

  trainerSettings(): TrainerSettings {
    const { settings, plan } = this;
    return {
      steps: plan.steps,
      accumulate: settings.accumulate,
      learningRate: settings.lr,
      schedule: settings.schedule,
      warmupSteps: Math.min(plan.steps, settings.warmup ?? Math.min(100, Math.round(0.05 * plan.steps))),
      minimumRatio: settings.minLrRatio,
      clipNorm: settings.clip,
      evaluateEvery: settings.evalEvery,
      checkpointEvery: settings.saveEvery,
      evaluateFirst: true,
      patience: settings.patience,
      ...(settings.guard > 0 && { guard: { zScore: settings.guard, window: 64 } }),
    };
  }

  async close(): Promise<void> {
    await this.base.close();
    await this.#dataset.close?.();
  }
}

async function sizeOf(
  dataset: ClosableView,
  { training, validation }: { readonly training: DatasetView; readonly validation: DatasetView },
  batchesPerEpoch: number,
): Promise<DataSize> {
  let tokens = 0;
  for (let i = 0; i < training.size; i++) tokens += training.length(i);
  let trainedTokens = 0;
  if (dataset.trainedTokens !== undefined) {
    trainedTokens = Math.round((dataset.trainedTokens * training.size) / dataset.size);
  } else {
    for (let i = 0; i < training.size; i++) {
      trainedTokens += (await training.read(i)).trained.reduce((sum, each) => sum + each, 0);
    }
  }
  return {
    examples: training.size,
    validationExamples: validation.size,
    ...{ tokens, trainedTokens, batchesPerEpoch },
  };
}
