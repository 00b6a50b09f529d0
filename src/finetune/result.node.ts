import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from '../files/atomic.node.ts';
import type { Locale } from '../inspect/labels.ts';
import { kebab } from '../options.ts';
import { buildFinetuneReport, type FinetuneResults } from '../report/finetune.ts';
import type { RunEvent } from '../training/runs/events.ts';
import type { RunDirectory } from '../training/runs/run-directory.node.ts';
import { median } from '../training/train-event.ts';
import type { FinetuneJob } from './job.node.ts';
import { compareTaskScores } from './task-scores.node.ts';

const REPORT_FILE = 'report.html';
const CARD_FILE = 'README.md';
/** Points of the curve: each is the mean of the steps since the one before. */
const CURVE_POINTS = 400;

/** Writes the card of the finished model and the report of the run to the run's folder. */
export async function describeResult(
  job: FinetuneJob,
  locale: Locale,
  run: RunDirectory,
  resultStep: number,
): Promise<{ readonly report: string }> {
  const { base, settings } = job;
  const results = resultsOf(job, await run.metrics<RunEvent & { step: number }>(), resultStep);
  const addedTokens = base.addedTokens.map(({ content }) => content);
  const { modelCard } = await import('./card.ts');
  const card = modelCard(results, { base: base.name, dtype: settings.dtype, addedTokens });
  await writeFileAtomic(join(run.path, CARD_FILE), card);
  const report = join(run.path, REPORT_FILE);
  await writeFileAtomic(report, buildFinetuneReport(results, locale));
  return { report };
}

function resultsOf(
  { base, plan, settings, engine }: FinetuneJob,
  events: readonly (RunEvent & { readonly step: number })[],
  resultStep: number,
): FinetuneResults {
  const steps = events.filter((event) => event.type === 'step');
  const evaluations = events.filter((event) => event.type === 'evaluation');
  const samples = events.filter((event) => event.type === 'samples');
  const before = samples.find(({ step }) => step === 0)?.samples ?? [];
  const after = (samples.findLast(({ step }) => step === resultStep) ?? samples.at(-1))?.samples ?? [];
  const tasks = events.filter((event) => event.type === 'tasks');
  const { data } = plan;
  return {
    model: base.name,
    parameters: plan.parameters,
    trainedParameters: plan.trainedParameters,
    examples: data.examples ?? 0,
    validationExamples: data.validationExamples ?? 0,
    tokensPerEpoch: data.tokens,
    trainedTokensPerEpoch: data.trainedTokens,
    steps: steps.at(-1)?.step ?? 0,
    epochs: ((steps.at(-1)?.step ?? 0) * plan.epochs) / plan.steps,
    resultStep,
    stoppedEarly: events.some(({ type }) => type === 'stopped'),
    curve: thin(steps),
    evaluations: evaluations.map(({ step, loss }) => ({ step, loss })),
    skipped: steps.filter(({ skipped }) => skipped !== undefined).map(({ step }) => step),
    overflowed: steps.filter(({ overflowed }) => overflowed !== undefined).map(({ step }) => step),
    samples: after.map(({ prompt, text }, i) => ({ prompt, before: before[i]?.text ?? '', after: text })),
    tasks: compareTaskScores(tasks, resultStep).map((one) => ({
      ...one,
      won: one.won.length,
      lost: one.lost.length,
    })),
    settings: shownSettings(settings),
    tokensPerSecond: median(steps.map(({ tokensPerSecond }) => tokensPerSecond)),
    engineShare: median(steps.map(({ engineShare = 0 }) => engineShare)),
    surroundings: {
      date: new Date().toISOString().slice(0, 10),
      machine: `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} logical processors`,
      engine: engine.name,
      ropewalk: packageVersion(),
      node: process.versions.node,
    },
  };
}

/** Spelled like the options; lists as their members. */
function shownSettings(settings: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]: [string, unknown]) => {
      if (value === undefined || (Array.isArray(value) && value.length === 0)) return [];
      return [[kebab(name), Array.isArray(value) ? value.join(', ') : String(value)]];
    }),
  );
}

function thin(steps: readonly { readonly step: number; readonly loss: number }[]) {
  const width = Math.max(1, Math.ceil(steps.length / CURVE_POINTS));
  return Array.from({ length: Math.ceil(steps.length / width) }, (_, i) => {
    const part = steps.slice(i * width, (i + 1) * width);
    return { step: part.at(-1)!.step, loss: part.reduce((sum, { loss }) => sum + loss, 0) / part.length };
  });
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
