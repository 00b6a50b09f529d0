import type { BatchSource, TrainingRows } from '../batches.ts';
import type { ChatTemplate } from '../chat/template.ts';
import { evaluationRows, PackedSource } from '../data/packed-source.ts';
import { type DatasetView, splitDataset } from '../data/view.ts';
import { option as named, said } from '../errors.ts';
import { vocabularyWeights } from '../families/vocabulary.ts';
import type { Locale } from '../inspect/labels.ts';
import { OptionError } from '../options.ts';
import { createLearner } from '../training/create-learner.ts';
import { frozenBy } from '../training/freeze.ts';
import type { TrainedParameter } from '../training/learner.ts';
import type { Loss } from '../training/loss.ts';
import type { NewRowsPhase } from '../training/new-rows.ts';
import type { Optimizer } from '../training/optimizers/optimizer.ts';
import { datasetSize } from '../training/runs/data-size.ts';
import { deviceWarnings, type EngineOptions, engineFor } from '../training/runs/engine.node.ts';
import type { TrainingJob } from '../training/runs/job.node.ts';
import { thisMachine } from '../training/runs/machine.node.ts';
import { planRun } from '../training/runs/plan.ts';
import type { RunRecord } from '../training/runs/record.ts';
import { Sampling } from '../training/runs/samples.ts';
import { resolveSettings, trainingOptions } from '../training/settings.ts';
import { type BaseModel, openBaseModel } from './model.node.ts';
import { describeResult } from './result.node.ts';
import { FINETUNE, type FinetuneInput, type FinetuneSettings } from './settings.ts';
import { TaskScoring } from './task-scores.node.ts';

/** Examples, or a function that makes them from a model's tokenizer and template. */
export type FinetuneData = DatasetView | ((base: BaseModel, now: Date) => Promise<ClosableView>);

/** A view that may be backed by files. */
export interface ClosableView extends DatasetView {
  readonly trainedTokens?: number;
  close?(): Promise<void>;
}

export interface JobOptions extends FinetuneInput, EngineOptions {
  /** A chat template instead of the model's own, its file, or the name of another one of the model's or of ours. */
  readonly template?: ChatTemplate | string;
  /** The date for templates that use it; default today. */
  readonly now?: Date;
  /** The model's name, if its path is one in a cache. */
  readonly name?: string;
  /** The language that the report shows first; default English. */
  readonly locale?: Locale;
  /** The loss; default cross-entropy. Its graph may have additional inputs, fed by {@link prepareRows}. */
  readonly loss?: Loss;
  /** Creates the optimizer in place of the one named by `optimizer`. */
  readonly createOptimizer?: (parameters: readonly TrainedParameter[]) => Optimizer;
  /** Changes micro-batches, in training and evaluation, before they are used: adds the inputs of a custom loss. */
  readonly prepareRows?: (rows: TrainingRows) => TrainingRows | Promise<TrainingRows>;
}

/** The settings of a job among all its options. */
export function settingsOf(options: FinetuneInput): FinetuneSettings {
  const names = Object.keys({ ...trainingOptions, ...FINETUNE.own });
  const given = Object.entries(options).filter(([name]) => names.includes(name));
  return resolveSettings(FINETUNE, Object.fromEntries(given));
}

/** A prepared fine-tuning run: model, data, settings and plan, before anything large is allocated. */
export interface FinetuneJob extends TrainingJob {
  readonly base: BaseModel;
  readonly settings: FinetuneSettings;
}

/** @throws RopewalkError for settings, a model or data that do not fit together. */
export async function openFinetuning(
  model: string,
  data: FinetuneData,
  options: JobOptions,
): Promise<FinetuneJob> {
  const settings = settingsOf(options);
  const { addToken, seq, batch, pack, seed, memory, samplePrompt, sampleTokens } = settings;
  const base = await openBaseModel(model, { addToken, template: options.template, name: options.name });
  let dataset: ClosableView | undefined;
  try {
    if (seq > base.model.maxPositions) {
      throw new OptionError(
        'seq',
        `${seq} is longer than the ${base.model.maxPositions} positions of ${base.name}; choose a smaller one.`,
      );
    }
    const trains = frozenBy(base.model, settings.freeze);
    const newRows = newRowsPhase(base, settings.trainNewRowsFirst, trains);
    const now = options.now ?? new Date();
    dataset = typeof data === 'function' ? await data(base, now) : data;
    const views = splitDataset(dataset, settings.validation, seed);
    const rows = { batch, seq, pack };
    const { batchesPerEpoch } = new PackedSource(views.training, { ...rows, seed });
    const { loss } = options;
    const engine = engineFor(options);
    const plan = planRun({
      ...{ model: base.model, trains, settings, shape: { seq, packed: true }, loss },
      data: await datasetSize(dataset, views, batchesPerEpoch),
      machine: thisMachine(),
      ranks: options.ranks?.size,
      onDevice: engine.openMemory !== undefined,
      precision: engine.defaults.precision,
    });
    const scoring = await TaskScoring.open(settings);
    const opened = dataset;
    const job: FinetuneJob = {
      ...{ verb: 'finetune', base, engine, model: base.model, settings, plan, startsTrained: true },
      ...{
        identity: base.identity,
        warnings: [...base.warnings, ...deviceWarnings(engine)],
        createOptimizer: options.createOptimizer,
      },
      ...{ ranks: options.ranks, newRows },
      record: recordOf(base, options, now, opened.identity),
      async start(parallel) {
        const shape = { batch, seq, packed: pack };
        const learner = await createLearner(engine, base.model, shape, {
          memory,
          trains,
          parallel,
          ...(loss && { loss }),
        });
        const { slices } = learner;
        const startOf = slices && ((path: string) => slices.rangeOf(path).start);
        await learner.fill((values) => base.readWeights(values, startOf));
        const chat = base.template && { template: base.template, stopTokens: base.stopTokens };
        const prompts = { prompts: samplePrompt, maxTokens: sampleTokens };
        const sampling = new Sampling(engine, learner, base.tokenizer, prompts, chat, base.stopTokens);
        return {
          learner,
          training: prepared(new PackedSource(views.training, { ...rows, seed }), options.prepareRows),
          ...(views.validation.size > 0 && {
            validation: () => heldOut(views.validation, rows, options.prepareRows),
          }),
          ...(samplePrompt.length > 0 && { samples: () => sampling.samples() }),
          ...(scoring && { tasks: () => scoring.scores(engine, learner, base), scoreOf: scoring.scoreOf }),
          async release() {
            await scoring?.release();
            await sampling.release();
            await learner.release();
          },
        };
      },
      describe: (run, resultStep) => describeResult(job, options.locale ?? 'en', run, resultStep),
      async close() {
        await base.close();
        await opened.close?.();
      },
    };
    return job;
  } catch (error) {
    await base.close();
    await dataset?.close?.();
    throw error;
  }
}

/**
 * The beginning of a run in which only the rows of new tokens are trained.
 *
 * @throws OptionError where no token is new, and where their rows are frozen.
 */
function newRowsPhase(
  base: BaseModel,
  steps: number | undefined,
  trains: (path: string) => boolean,
): NewRowsPhase | undefined {
  if (steps === undefined) return undefined;
  if (base.newTokens.length === 0) {
    throw new OptionError(
      'trainNewRowsFirst',
      said`${base.name} has no new tokens; extend its vocabulary first (ropewalk tokenizer extend), or give some with ${named('addToken')}.`,
    );
  }
  const paths = [...vocabularyWeights(base)];
  const frozen = paths.find((path) => !trains(path));
  if (frozen !== undefined) {
    throw new OptionError(
      'trainNewRowsFirst',
      said`the rows of new tokens are in ${frozen}, which ${named('freeze')} leaves as it is; freeze other weights.`,
    );
  }
  const { vocab_size: rows } = base.config;
  return { steps, ranges: base.newTokens, tables: new Map(paths.map((path) => [path, rows])) };
}

/** What a resumed run must share with the original one. */
function recordOf(base: BaseModel, options: JobOptions, now: Date, data: string): RunRecord {
  return {
    ...{ begun: now, model: base.name, config: base.family.writeConfig(base.config) },
    ...{ template: base.template?.source, data },
    ...(options.loss && { loss: 'of the caller' }),
    ...(options.createOptimizer && { optimizer: 'of the caller' }),
  };
}

/** A source whose rows are changed before they are used. */
function prepared(source: PackedSource, change: JobOptions['prepareRows']): BatchSource {
  return {
    async next() {
      const rows = await source.next();
      return change ? { ...(await change(rows)), epoch: rows.epoch } : rows;
    },
    state: () => source.state(),
    restore: (state) => source.restore(state as ReturnType<typeof source.state>),
  };
}

/** The held-out rows from the beginning. */
async function* heldOut(
  view: DatasetView,
  options: { readonly batch: number; readonly seq: number; readonly pack: boolean },
  change: JobOptions['prepareRows'] = (rows) => rows,
): AsyncGenerator<TrainingRows, void> {
  for await (const rows of evaluationRows(view, options)) yield await change(rows);
}
