import { RopewalkError } from '../../errors.ts';
import { type RatePoint, searchRate } from '../find-rate.ts';
import { optimizerFor, parallelOf, type StartedJob, type TrainingJob } from './job.node.ts';

/** Measures a step with the job's own batches, without learning. @returns seconds. */
export async function measureStep(job: TrainingJob): Promise<number> {
  const { learner, training, release } = await started(job);
  const { accumulate, clip } = job.settings;
  try {
    const optimizer = await optimizerFor(job, learner);
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 3; ) {
      const started = performance.now();
      const batches = [];
      while (batches.length < accumulate) batches.push(await training.next());
      const { loss, overflowed } = await learner.step(batches, { optimizer, learningRate: 0, clip });
      if (!Number.isFinite(loss)) throw new RopewalkError(`the model's loss on this data is ${loss}.`);
      // A skipped step updates nothing; the loss scale ends a series of them.
      if (overflowed !== undefined) continue;
      // The first step includes touching pages of memory for the first time.
      if (i > 0) best = Math.min(best, (performance.now() - started) / 1000);
      i++;
    }
    return best;
  } finally {
    await release();
  }
}

function started(job: TrainingJob, signal?: AbortSignal): Promise<StartedJob> {
  return job.start(parallelOf(job, signal));
}

/** Tries increasing learning rates with a job's own data; see {@link searchRate}. Writes nothing. */
export async function* findRate(
  job: TrainingJob,
  steps: number,
  signal?: AbortSignal,
): AsyncGenerator<RatePoint, void> {
  const { learner, training, release } = await started(job, signal);
  const { accumulate, clip } = job.settings;
  try {
    const parts = { learner, training, optimizer: await optimizerFor(job, learner) };
    yield* searchRate(parts, { steps, accumulate, clip }, signal);
  } finally {
    await release();
  }
}
