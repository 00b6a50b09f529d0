import { PlannedRanks } from '../../ranks/planned.node.ts';
import { type RatePoint, suggestRate } from '../../training/find-rate.ts';
import { communicationSeconds, efficiency, type Network } from '../../training/parallel/step-time.ts';
import type { FinishedEvent } from '../../training/runs/events.ts';
import type { TrainingJob } from '../../training/runs/job.node.ts';
import { checkFits, type RunPlan } from '../../training/runs/plan.ts';
import { type RunOptions, runJob } from '../../training/runs/run-job.node.ts';
import { findRate, measureStep } from '../../training/runs/trials.node.ts';
import { INTERRUPTED } from '../terminal/interrupt.ts';
import type { Progress } from '../terminal/progress.ts';
import { planText, RunView, ratesText, worseThanBase } from '../terminal/run-view.ts';
import { printResult } from '../terminal/silence.ts';

/** Prints a job's plan with the time of a measured step; without it, if the job does not fit. */
export async function dryRun(
  job: TrainingJob,
  json = false,
  progress: Progress,
  network: Network | undefined,
): Promise<void> {
  const { plan, warnings } = job;
  const print = (shown: typeof plan) =>
    printResult(`${json ? JSON.stringify({ ...shown, warnings }) : planText(shown)}\n`);
  if (!plan.fits) print(plan);
  if (!plan.fits && job.ranks instanceof PlannedRanks) {
    progress.note('no step was measured, because one of these ranks does not fit on this machine');
    return;
  }
  checkFits(plan);
  progress.note('measuring a step …');
  const secondsPerStep = await measureStep(job);
  print(network && plan.ranks ? overNetwork(plan, secondsPerStep, network) : { ...plan, secondsPerStep });
}

/** A plan with the time that communication takes, and what it leaves. @param computing seconds of a step. */
function overNetwork(plan: RunPlan, computing: number, network: Network): RunPlan {
  const ranks = plan.ranks!;
  const secondsCommunicating = communicationSeconds(ranks, network);
  return {
    ...plan,
    secondsPerStep: computing + secondsCommunicating,
    ranks: {
      ...ranks,
      ...{ network, secondsCommunicating, efficiency: efficiency(computing, secondsCommunicating) },
    },
  };
}

/** Tries learning rates and prints a suggestion. */
export async function tryRates(
  job: TrainingJob,
  json = false,
  signal: AbortSignal,
  progress: Progress,
): Promise<void> {
  const steps = 100;
  const points: RatePoint[] = [];
  for await (const point of findRate(job, steps, signal)) {
    points.push(point);
    const text = `rate ${point.learningRate.toExponential(1)}  loss ${point.smoothed.toFixed(3)}`;
    progress.update('trying', points.length, steps, text);
  }
  progress.end();
  if (signal.aborted) process.exitCode = INTERRUPTED;
  const suggested = suggestRate(points);
  const { warnings } = job;
  printResult(
    `${json ? JSON.stringify({ suggested: suggested ?? null, points, warnings }) : ratesText(points, suggested)}\n`,
  );
}

/** Runs a job, shows its progress, and prints its result. */
export async function train(
  job: TrainingJob,
  options: RunOptions,
  json = false,
  progress: Progress,
): Promise<void> {
  const { out } = options;
  const view = new RunView(progress);
  const started = performance.now();
  let measured: Record<string, number> = { step: 0 };
  let finished: FinishedEvent | undefined;
  for await (const event of runJob(job, { ...options, measureLimit: true })) {
    view.show(event);
    if ('step' in event) measured = { ...measured, step: event.step };
    if (event.type === 'step') {
      const { loss, tokensPerSecond } = event;
      measured = { ...measured, loss, tokensPerSecond };
    }
    if (event.type === 'evaluation') {
      const { loss, perplexity, base } = event;
      measured = { ...measured, validationLoss: loss, perplexity, ...(base !== null && { baseLoss: base }) };
    }
    if (event.type === 'finished') finished = event;
  }
  progress.end();
  if (json) {
    const seconds = (performance.now() - started) / 1000;
    const { resultStep, loss: resultLoss } = finished ?? {};
    const { warnings } = job;
    const result = { out, seconds, interrupted: !finished, ...measured, resultStep, resultLoss, warnings };
    printResult(`${JSON.stringify(result)}\n`);
  }
  if (!finished) {
    progress.note('interrupted; resume with the same command and --resume');
    process.exitCode = INTERRUPTED;
    return;
  }
  const worse = worseThanBase(finished.loss, finished.base);
  if (worse) progress.note(worse);
  const report = finished.report === undefined ? '' : `, the report in ${finished.report}`;
  progress.note(
    `the model of step ${finished.resultStep} is in ${out}${report}; try: ropewalk generate ${out} --prompt "…" --max-tokens 50`,
  );
}
