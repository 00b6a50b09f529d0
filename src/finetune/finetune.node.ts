import { join } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { attentionFlopsPerToken, weightFlopsPerToken } from '../inspect/costs.ts';
import { firstNotFinite } from '../training/diagnose.ts';
import type { Learner } from '../training/learner.ts';
import { measureProducts } from '../training/limit.ts';
import { RunDirectory, type RunRecord } from '../training/runs/run.node.ts';
import { lockRun } from '../training/runs/run-lock.node.ts';
import { checkSameRun } from '../training/runs/run-record.ts';
import { type EvaluationEvent, Trainer } from '../training/trainer.ts';
import { type DataFiles, dataFiles } from './data-files.node.ts';
import type { FinetuneEvent } from './events.ts';
import { type FinetuneData, FinetuneJob, type JobOptions, settingsOf } from './job.node.ts';
import { REPORT_FILE, writeResult } from './result.node.ts';
import { Sampling } from './samples.ts';

/** Folder below a run's own for its tokenised data. */
export const DATA_FOLDER = 'data';

export interface FinetuneOptions extends Omit<JobOptions, 'now'> {
  /** Folder of the run: checkpoints, metrics.jsonl, report, and the finished model. */
  readonly out: string;
  /** Whether a run in `out` is gone on with: never, if there is one, or surely. Default never. */
  readonly resume?: 'never' | 'if there' | 'must';
  /** Ends training after the step at hand, with a checkpoint. */
  readonly signal?: AbortSignal;
}

/**
 * Trains every weight of a model, or those that are not frozen, on examples of one's own. The run lies in a folder that
 * can be resumed to the bit; the result is a Hugging Face directory.
 *
 * @param model a model directory or a GGUF file.
 * @param data files of examples; or examples, or a function that makes them of the model's tokenizer and template.
 * @throws RopewalkError for settings, data or a machine that do not do, and where numbers end.
 */
export async function* finetune(
  model: string,
  data: FinetuneData | string | readonly string[] | Omit<DataFiles, 'folder'>,
  options: FinetuneOptions,
): AsyncGenerator<FinetuneEvent, void> {
  const now = await beginningOf(options);
  const job = await FinetuneJob.open(model, dataOf(data, options), { ...options, now });
  try {
    yield* runJob(job, options);
  } finally {
    await job.close();
  }
}

function dataOf(data: Parameters<typeof finetune>[1], options: FinetuneOptions): FinetuneData {
  if (typeof data === 'function' || (typeof data === 'object' && 'read' in data)) return data;
  const files = typeof data === 'string' ? { files: [data] } : 'files' in data ? data : { files: data };
  const { signal, out } = options;
  return dataFiles(
    { ...files, folder: join(out, DATA_FOLDER), signal: files.signal ?? signal },
    settingsOf(options),
  );
}

/** When the run that is to be gone on with began: templates that tell the day must tell the same. */
export async function beginningOf({
  out,
  resume = 'never',
}: Pick<FinetuneOptions, 'out' | 'resume'>): Promise<Date> {
  if (resume === 'never' || !RunDirectory.exists(out)) return new Date();
  const { begun } = (await RunDirectory.open(out)).record;
  return typeof begun === 'string' ? new Date(begun) : new Date();
}

/** Runs a job that has been opened. The caller closes it. */
export async function* runJob(
  job: FinetuneJob,
  { out, resume = 'never', signal }: Pick<FinetuneOptions, 'out' | 'resume' | 'signal'>,
): AsyncGenerator<FinetuneEvent, void> {
  const record = recordOf(job);
  const resuming = resume === 'must' || (resume === 'if there' && RunDirectory.exists(out));
  const stored = resuming ? await RunDirectory.open(out) : undefined;
  if (stored) checkSameRun(stored.record, record, out);
  else await RunDirectory.checkFree(out);
  job.checkFits();
  const lock = await lockRun(out);
  try {
    for (const message of job.base.warnings) yield { type: 'warning', message };
    yield { type: 'plan', plan: job.plan };
    yield* runLocked(job, { out, record, stored, signal });
  } finally {
    await lock.release();
  }
}

async function* runLocked(
  job: FinetuneJob,
  {
    out,
    record,
    stored,
    signal,
  }: {
    readonly out: string;
    readonly record: RunRecord;
    readonly stored: RunDirectory | undefined;
    readonly signal: AbortSignal | undefined;
  },
): AsyncGenerator<FinetuneEvent, void> {
  const training = await job.createLearner();
  const { base, settings } = job;
  const prompts = { prompts: settings.samplePrompt, maxTokens: settings.sampleTokens };
  const chat = base.template && { template: base.template, stopTokens: base.stopTokens };
  const sampling = new Sampling(job.engine, training, base.tokenizer, prompts, chat, base.stopTokens);
  try {
    const share = await shareOfLimit(job, training);
    const trainer = new Trainer(
      {
        learner: training,
        training: job.trainingRows(),
        ...(job.evaluates && { validation: () => job.validationRows() }),
        optimizer: job.createOptimizer(training),
        diagnose: (batches) => firstNotFinite(job.engine, training, batches),
      },
      job.trainerSettings(),
    );
    // Only now, so that settings and data that are refused leave no run behind.
    const run = stored ?? (await RunDirectory.create(out, record));
    let step = 0;
    let last: EvaluationEvent | undefined;
    if (stored) {
      step = await run.restore(training, trainer);
      yield { type: 'resumed', step };
    }
    const sample = async (at: number) => {
      const event = { type: 'samples' as const, step: at, samples: await sampling.samples() };
      await run.log(event);
      return event;
    };
    const samples = settings.samplePrompt.length > 0;
    if (samples && !job.evaluates && step === 0) yield await sample(0);
    for await (const event of trainer.run(signal)) {
      if (event.type === 'step') {
        const measured = { ...event, engineShare: share / event.secondsPerStep };
        await run.log(measured);
        yield measured;
        continue;
      }
      await run.log(event);
      yield event;
      if (event.type === 'evaluation') {
        last = event;
        if (event.bestTrained) await run.saveBest(training, base.identity);
        if (samples) yield await sample(event.step);
      }
      if (event.type === 'checkpoint') {
        const { last: isLast, state } = event;
        if (isLast && samples && !job.evaluates) yield await sample(event.step);
        await run.save(training, base.identity, state, settings.keep);
        if (!isLast) continue;
        const { best } = state.evaluations;
        const resultStep = settings.result === 'best' && best ? best.step : event.step;
        if (resultStep !== event.step) await run.readBest(training);
        await writeResult(job, run, training, resultStep);
        const loss = resultStep === best?.step ? best.loss : last?.loss;
        const losses = loss === undefined ? {} : { loss, base: state.evaluations.base };
        const report = join(out, REPORT_FILE);
        yield { type: 'finished', step: event.step, resultStep, ...losses, out, report };
      }
    }
  } finally {
    await sampling.release();
    await training.release();
  }
}

/** What a resumed run must have in common with the one that was started. */
function recordOf({ base, settings, dataIdentity, options }: FinetuneJob): RunRecord {
  const custom = (value: unknown) => (value === undefined ? {} : 'of the caller');
  return JSON.parse(
    JSON.stringify({
      format: 1,
      kind: 'finetune',
      begun: options.now,
      model: base.name,
      config: base.family.writeConfig(base.config),
      template: base.template?.source,
      settings,
      data: dataIdentity,
      ...(options.loss && { loss: custom(options.loss) }),
      ...(options.createOptimizer && { optimizer: custom(options.createOptimizer) }),
    }),
  ) as RunRecord;
}

/**
 * Seconds that the matrix products of a step would take at the speed of bare ones: divided by a step's seconds, the share
 * of the engine's limit. What is computed twice to save memory counts once.
 */
async function shareOfLimit(
  { engine, plan, settings, base }: FinetuneJob,
  training: Learner,
): Promise<number> {
  const { model } = base;
  const { batch, seq } = training.shape;
  const width = model.head.weight.shape[1]!;
  const limit = await measureProducts(engine, { rows: batch * seq, inner: width, outer: 4 * width });
  const forward = weightFlopsPerToken(model) + attentionFlopsPerToken(model, Math.ceil(settings.seq / 2));
  // Backward there are as many for activations, and as many for weights, but for frozen ones.
  const perToken = forward * (2 + plan.trainedParameters / plan.parameters);
  return (perToken * plan.tokensPerStep) / limit;
}

/** One step's time, measured with the job's own batches; nothing is learnt. @returns seconds. */
export async function measureStep(job: FinetuneJob): Promise<number> {
  const training = await job.createLearner();
  try {
    const [rows, optimizer] = [job.trainingRows(), job.createOptimizer(training)];
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 3; i++) {
      const started = performance.now();
      const batches = [];
      while (batches.length < job.settings.accumulate) batches.push(await rows.next());
      const { loss } = await training.step(batches, {
        optimizer,
        learningRate: 0,
        clipNorm: job.settings.clip,
      });
      if (!Number.isFinite(loss))
        throw new RopewalkError(`the loss of ${job.base.name} on these data is ${loss}.`);
      // The first step pays for pages of memory that are touched for the first time.
      if (i > 0) best = Math.min(best, (performance.now() - started) / 1000);
    }
    return best;
  } finally {
    await training.release();
  }
}
