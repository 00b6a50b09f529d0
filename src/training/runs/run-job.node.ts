import { option as named, said } from '../../errors.ts';
import { attentionFlopsPerToken, weightFlopsPerToken } from '../../inspect/costs.ts';
import { OptionError } from '../../options.ts';
import { firstNotFinite } from '../diagnose.ts';
import type { Learner } from '../learner.ts';
import { measureProducts } from '../limit.ts';
import type { Parallel } from '../parallel/parallel.ts';
import { weightsChecksum } from '../parallel/weights-checksum.node.ts';
import { RESULT_TYPES } from '../settings.ts';
import { type EvaluationEvent, Trainer } from '../trainer.ts';
import type { ResumedEvent, RunEvent, SamplesEvent, TaskScores, TasksEvent } from './events.ts';
import { optimizerFor, parallelOf, type StartedJob, type TrainingJob } from './job.node.ts';
import { checkFits } from './plan.ts';
import { changesOf, type RecordedSettings, type RunRecord, recordToResume, upgraded } from './record.ts';
import { RunDirectory } from './run-directory.node.ts';
import { lockRun } from './run-lock.node.ts';

export interface RunOptions {
  /** The run's folder: checkpoints, metrics.jsonl and the finished model. */
  readonly out: string;
  /** Whether to resume the run in `out`: never, if there is one, or always. Default never. */
  readonly resume?: 'never' | 'if there' | 'must';
  /** Ends training after the current step, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
  /** Whether steps report their share of the engine's peak speed; measuring that takes a third of a second. */
  readonly measureLimit?: boolean;
}

/**
 * A whole run, whatever is trained: opens or resumes, locks, steps, logs, evaluates, saves and finishes. The caller
 * closes the job.
 *
 * @throws RopewalkError for an unusable folder, run or machine, and if values are not finite.
 */
export async function* runJob(job: TrainingJob, options: RunOptions): AsyncGenerator<RunEvent, void> {
  const { out, resume = 'never', signal } = options;
  const parallel = parallelOf(job, signal);
  const ranks = parallel?.ranks;
  const writes = ranks?.isFirst ?? true;
  const resuming = resume === 'must' || (resume === 'if there' && RunDirectory.exists(out));
  const run = resuming ? await RunDirectory.open(out, parallel) : undefined;
  if (!run && writes) await RunDirectory.checkFree(out);
  const wanted = recordOf(job);
  const stored = run && upgraded(run.record, job.plan.steps / job.plan.epochs);
  const record = stored ? recordToResume(stored, wanted, job.settings.warmup !== undefined, out) : wanted;
  checkFits(job.plan);
  const { format: _, begun, ...same } = wanted;
  await ranks?.agree(same);
  const lock = writes ? await lockRun(out) : undefined;
  try {
    for (const message of job.warnings) yield { type: 'warning', message };
    yield { type: 'plan', plan: job.plan };
    const started = await job.start(parallel);
    try {
      yield* runStarted(job, started, {
        ...options,
        parallel,
        record,
        resumed: run && stored && { run, stored },
      });
    } finally {
      await started.release();
    }
  } finally {
    await lock?.release();
  }
}

/** The record of a run for its folder. */
function recordOf({ verb, record, plan, engine }: TrainingJob): RunRecord {
  const { precision = 'float32' } = engine.defaults;
  const all = { ...{ format: 2, verb, begun: new Date(), ...record, precision }, settings: plan.settings };
  return JSON.parse(JSON.stringify(all)) as RunRecord;
}

interface Opened {
  readonly parallel: Parallel | undefined;
  readonly record: RunRecord;
  readonly resumed: { readonly run: RunDirectory; readonly stored: RunRecord } | undefined;
}

async function* runStarted(
  job: TrainingJob,
  { learner, training, validation, samples, tasks, scoreOf }: StartedJob,
  { out, signal, measureLimit = false, record, resumed, parallel }: RunOptions & Opened,
): AsyncGenerator<RunEvent, void> {
  const { engine, identity } = job;
  const ranks = parallel?.ranks;
  const settings = record.settings as RecordedSettings;
  if (learner.slices && tasks) {
    throw new OptionError(
      'shard',
      said`no process has all weights, which tasks need; evaluate the result instead, or choose ${named('shard', 'states')}.`,
    );
  }
  // The products that it measures send their values to a device and back, which training there does not.
  const share = measureLimit && !engine.openMemory ? await shareOfLimit(job, learner) : undefined;
  // Where tasks decide which weights are the best, they are evaluated before the event that says so.
  let scored: TaskScores[] | undefined;
  const score = async () => {
    scored = (ranks?.isFirst ?? true) ? await tasks!() : [];
    const own = scored.length > 0 ? scoreOf!(scored) : 0;
    await ranks?.wait();
    return ranks ? (await ranks.sum([own]))[0]! : own;
  };
  const trainer = new Trainer(
    {
      ...{
        score: scoreOf && score,
        learner,
        training,
        optimizer: await optimizerFor(job, learner),
        newRows: job.newRows,
      },
      ...(validation && { validation }),
      ...(!learner.slices && { diagnose: (batches) => firstNotFinite(engine, learner, batches) }),
    },
    { ...settings, evaluateFirst: job.startsTrained && validation !== undefined },
  );
  // Created only now, so that refused settings and data leave no run behind.
  const run = resumed?.run ?? (await RunDirectory.create(out, record, parallel));
  const resume = () => resumed && restore(resumed.run, resumed.stored, record, learner, trainer);
  const begun = await (ranks ? ranks.firstThenOthers(resume) : resume());
  const agree = async () =>
    ranks?.agree({
      ...(!learner.slices && { weights: weightsChecksum(await learner.values()) }),
      state: dataState(trainer),
    });
  await agree();
  if (begun) yield begun;
  const sampled = async (step: number): Promise<RunEvent[]> => {
    if (!samples && !tasks) return [];
    if (!run.isWritten) {
      await ranks?.wait();
      return [];
    }
    const events: (SamplesEvent | TasksEvent)[] = [];
    if (samples) events.push({ type: 'samples', step, samples: await samples() });
    if (tasks) events.push({ type: 'tasks', step, tasks: scored ?? (await tasks()) });
    scored = undefined;
    for (const event of events) await run.log(event);
    await ranks?.wait();
    return events;
  };
  // With evaluations, samples are written at the same steps.
  if (!validation && (begun?.step ?? 0) === 0) yield* await sampled(0);
  let last: EvaluationEvent | undefined;
  for await (const trained of trainer.run(ranks?.signal ?? signal)) {
    const event =
      trained.type === 'step' && share !== undefined
        ? { ...trained, engineShare: share / trained.secondsPerStep }
        : trained;
    await run.log(event);
    if (event.type === 'evaluation') {
      last = event;
      if (event.bestTrained) {
        await run.saveBest(learner, identity, event.step);
        await ranks?.wait();
      }
    }
    yield event;
    if (event.type === 'evaluation') yield* await sampled(event.step);
    if (event.type !== 'checkpoint') continue;
    if (event.last && !validation) yield* await sampled(event.step);
    await agree();
    await run.save(learner, identity, event.state, settings.keep);
    await ranks?.wait();
    if (!event.last) continue;
    const { best, base } = event.state.evaluations;
    const resultStep = settings.result === 'best' && best ? best.step : event.step;
    if (resultStep !== event.step) await run.readBest(learner);
    await ranks?.wait();
    await run.finish(learner, identity, RESULT_TYPES[settings.dtype]);
    const described = run.isWritten ? await job.describe?.(run, resultStep) : undefined;
    await ranks?.wait();
    const loss = resultStep === best?.step ? best.loss : last?.loss;
    const losses = loss === undefined ? {} : { loss, base };
    yield { type: 'finished', step: event.step, resultStep, ...losses, out, ...described };
  }
}

/** The position of a run in its data: ranks must have it in common, as well as their weights. */
function dataState(trainer: Trainer): unknown {
  const { step, tokens, sampler } = trainer.state();
  return { step, tokens, sampler };
}

/** Resumes from the newest checkpoint, and updates the record in the folder. */
async function restore(
  run: RunDirectory,
  stored: RunRecord,
  record: RunRecord,
  learner: Learner,
  trainer: Trainer,
): Promise<ResumedEvent> {
  const step = await run.restore(learner, trainer);
  const changes = changesOf(stored, record, step);
  const { best } = trainer.state().evaluations;
  const kept = await run.bestStep();
  const settings = record.settings as RecordedSettings;
  const before = stored.settings as RecordedSettings;
  // Kept weights may be of a later step than the checkpoint. The same run reaches that step again; one with other
  // evaluation steps or learning rates does not.
  const isSame = before.steps === settings.steps && before.evalEvery === settings.evalEvery;
  if (best && kept !== best.step && !(isSame && run.keepsBest)) {
    trainer.forgetBest();
    changes.push(
      `the best weights so far (step ${best.step}) are missing: the lowest loss is tracked from here on`,
    );
  }
  if (trainer.finished && step < settings.steps) {
    changes.push(
      `it stopped early, because ${settings.patience} evaluations had no lower loss: no steps remain`,
    );
  }
  if (JSON.stringify(run.record) !== JSON.stringify(record)) await run.rewrite(record);
  return { type: 'resumed', step, changes };
}

/**
 * The time of a step's matrix products at the speed of bare ones: divided by the step's time, the share of the
 * engine's peak. What is recomputed to save memory counts once.
 */
async function shareOfLimit(
  { engine, plan, model, teacher, ranks }: TrainingJob,
  learner: Learner,
): Promise<number> {
  const { batch, seq } = learner.shape;
  const width = model.head.weight.shape[1]!;
  const limit = await measureProducts(engine, { rows: batch * seq, inner: width, outer: 4 * width });
  const forward = (each: typeof model) =>
    weightFlopsPerToken(each) + attentionFlopsPerToken(each, Math.ceil(seq / 2));
  // The backward pass has as many products for activations, and as many for weights, except frozen ones.
  const perToken =
    forward(model) * (2 + plan.trainedParameters / plan.parameters) + (teacher ? forward(teacher) : 0);
  return (perToken * plan.tokensPerStep) / limit / (ranks?.size ?? 1);
}
