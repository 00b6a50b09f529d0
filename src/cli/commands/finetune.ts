import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { ChatTemplate } from '../../chat/template.ts';
import { dataNotes } from '../../data/report.ts';
import { RopewalkError } from '../../errors.ts';
import { dataFiles } from '../../finetune/data-files.node.ts';
import type { FinetuneEvent } from '../../finetune/events.ts';
import { beginningOf, DATA_FOLDER, measureStep, runJob } from '../../finetune/finetune.node.ts';
import { FinetuneJob } from '../../finetune/job.node.ts';
import type { Locale } from '../../inspect/labels.ts';
import { type RatePoint, searchRate, suggestRate } from '../../training/find-rate.ts';
import { RunDirectory } from '../../training/runs/run.node.ts';
import { checkUnlocked } from '../../training/runs/run-lock.node.ts';
import { addFinetuneOptions, type FinetuneConfig, readFinetuneConfig } from '../options/finetune-flags.ts';
import { modelPath } from '../options/resolve.ts';
import { asFlag } from '../options/spelling.ts';
import { FinetuneView, planText, ratesText, worseThanBase } from '../terminal/finetune-view.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { localeOption } from '../terminal/locale.ts';
import { Progress, showReading } from '../terminal/progress.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface FinetuneFlags {
  resume?: boolean;
  dryRun?: boolean;
  findLr?: boolean;
  json?: boolean;
  locale: Locale;
}

export function register(program: Command): void {
  const command = program
    .command('finetune')
    .description('Train all weights of a model on chats, instructions or texts of your own.')
    .argument('[model]', 'a Hugging Face model directory, a GGUF file, or an id on the hub');
  addFinetuneOptions(command)
    .option('--resume', 'go on with the run in --out')
    .option(
      '--dry-run',
      'print the plan: parameters, tokens, steps, memory, and the time from a measured step',
    )
    .option('--find-lr', 'try learning rates from low to high and say where the loss falls fastest')
    .option('--json', 'print the result as JSON on stdout')
    .addOption(localeOption())
    .addHelpText(
      'after',
      `
Examples:
  ropewalk finetune HuggingFaceTB/SmolLM2-135M --data chats.jsonl --out runs/chat --dry-run
  ropewalk finetune path/to/model --data pairs.csv --column prompt=Q --column completion=A --out runs/pairs
  ropewalk finetune --config run.yaml --epochs 1
  ropewalk finetune path/to/model --data chats.jsonl --out runs/chat --resume`,
    )
    .action((model: string | undefined, flags: FinetuneFlags) => run(command, model, flags));
}

async function run(command: Command, named: string | undefined, flags: FinetuneFlags): Promise<void> {
  const config = await readFinetuneConfig(command, flags as unknown as Record<string, unknown>);
  const model = named ?? config.model;
  if (model === undefined)
    throw new RopewalkError('which model? Name it after the command, or as "model" in the configuration.');
  const files = config.data === undefined ? [] : [config.data].flat();
  if (files.length === 0) throw new RopewalkError('--data is missing: name a file of examples.');
  const trial = flags.dryRun || flags.findLr;
  const { out } = config;
  if (out === undefined && !trial) throw new RopewalkError('--out is missing: name a folder for the run.');
  if (flags.resume && out !== undefined) await RunDirectory.open(out);
  else if (out !== undefined && !trial) await RunDirectory.checkFree(out);
  if (out !== undefined && !trial) await checkUnlocked(out);

  const progress = new Progress();
  let isTraining = false;
  const { signal, dispose } = interruptSignal(() =>
    progress.note(isTraining ? 'stopping after this step; a checkpoint will be saved …' : 'stopping …'),
  );
  // A trial leaves nothing behind, unless there is a run whose tokens serve it.
  const temporary =
    trial && !(out && RunDirectory.exists(out)) ? await mkdtemp(join(tmpdir(), 'ropewalk-data-')) : undefined;
  try {
    const resume = flags.resume ? ('must' as const) : ('never' as const);
    const path = await modelPath(model);
    const name = path === model ? basename(resolve(path)) : model;
    const job = await openJob(path, name, config, {
      files,
      folder: temporary ?? join(out!, DATA_FOLDER),
      locale: flags.locale,
      now: out === undefined ? new Date() : await beginningOf({ out, resume }),
      signal,
      progress,
    });
    showWarnings(job.base.warnings, progress);
    try {
      if (flags.dryRun) await dryRun(job, flags, progress);
      else if (flags.findLr) await findRate(job, flags, progress, signal);
      else {
        isTraining = true;
        signal.throwIfAborted();
        await train(job, { out: out!, resume, signal, json: flags.json ?? false }, progress);
      }
    } finally {
      await job.close();
    }
  } finally {
    progress.end();
    dispose();
    if (temporary) await rm(temporary, { recursive: true, force: true });
  }
}

async function openJob(
  path: string,
  name: string,
  config: FinetuneConfig,
  surroundings: {
    readonly files: readonly string[];
    readonly folder: string;
    readonly locale: Locale;
    readonly now: Date;
    readonly signal: AbortSignal;
    readonly progress: Progress;
  },
): Promise<FinetuneJob> {
  const { progress, files, folder, signal, ...rest } = surroundings;
  const { columns, tooLong, malformed, specialTokens, template, threads, ...settings } = config;
  const data = dataFiles(
    {
      ...{ files, folder, signal, columns, tooLong, malformed },
      specialTokensInText: specialTokens === 'special',
      onNote: (text) => progress.note(text),
      onProgress: showReading(progress),
      onReady({ report }) {
        progress.end();
        for (const note of dataNotes(report, asFlag)) progress.note(note);
      },
    },
    config,
  );
  return FinetuneJob.open(path, data, {
    ...settings,
    ...rest,
    name,
    ...(template !== undefined && { template: templateOf(template) }),
    ...(threads !== undefined && { threads }),
  });
}

/** The template of a file; a name is the model's to find. */
function templateOf(template: string): ChatTemplate | string {
  return existsSync(template) ? new ChatTemplate(readFileSync(template, 'utf8'), template) : template;
}

async function dryRun(job: FinetuneJob, { json }: FinetuneFlags, progress: Progress): Promise<void> {
  const { warnings } = job.base;
  if (!job.plan.fits) {
    if (json) process.stdout.write(`${JSON.stringify({ ...job.plan, warnings })}\n`);
    else process.stdout.write(`${planText(job.plan)}\n`);
    job.checkFits();
  }
  progress.note('measuring a step …');
  const plan = { ...job.plan, secondsPerStep: await measureStep(job) };
  process.stdout.write(`${json ? JSON.stringify({ ...plan, warnings }) : planText(plan)}\n`);
}

async function findRate(
  job: FinetuneJob,
  { json }: FinetuneFlags,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  job.checkFits();
  const steps = 100;
  const learner = await job.createLearner();
  const points: RatePoint[] = [];
  try {
    const parts = { learner, training: job.trainingRows(), optimizer: job.createOptimizer(learner) };
    const { accumulate, clip: clipNorm } = job.settings;
    for await (const point of searchRate(parts, { steps, accumulate, clipNorm }, signal)) {
      points.push(point);
      progress.update(
        'trying',
        points.length,
        steps,
        `rate ${point.learningRate.toExponential(1)}  loss ${point.smoothed.toFixed(3)}`,
      );
    }
  } finally {
    await learner.release();
  }
  progress.end();
  if (signal.aborted) process.exitCode = INTERRUPTED;
  const suggested = suggestRate(points);
  process.stdout.write(
    `${json ? JSON.stringify({ suggested: suggested ?? null, points, warnings: job.base.warnings }) : ratesText(points, suggested)}\n`,
  );
}

async function train(
  job: FinetuneJob,
  {
    json,
    ...options
  }: {
    readonly out: string;
    readonly resume: 'never' | 'must';
    readonly signal: AbortSignal;
    readonly json: boolean;
  },
  progress: Progress,
): Promise<void> {
  const view = new FinetuneView(progress);
  const started = performance.now();
  let step = 0;
  let losses: { loss?: number; validationLoss?: number } = {};
  let finished: Extract<FinetuneEvent, { type: 'finished' }> | undefined;
  for await (const event of runJob(job, options)) {
    view.show(event);
    if ('step' in event) step = event.step;
    if (event.type === 'step') losses = { ...losses, loss: event.loss };
    if (event.type === 'evaluation') losses = { ...losses, validationLoss: event.loss };
    if (event.type === 'finished') finished = event;
  }
  progress.end();
  if (json) {
    const seconds = (performance.now() - started) / 1000;
    const result = {
      out: options.out,
      seconds,
      interrupted: !finished,
      step,
      ...losses,
      resultStep: finished?.resultStep,
      ...(finished?.loss !== undefined && { resultLoss: finished.loss, baseLoss: finished.base }),
      warnings: job.base.warnings,
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  }
  if (finished) {
    const worse = worseThanBase(finished.loss, finished.base);
    if (worse) progress.note(worse);
    progress.note(
      `the model of step ${finished.resultStep} is in ${options.out}, the report in ${finished.report}; try: ropewalk generate ${options.out} --prompt "…"`,
    );
  } else {
    progress.note('interrupted; go on with the same command and --resume');
    process.exitCode = INTERRUPTED;
  }
}
