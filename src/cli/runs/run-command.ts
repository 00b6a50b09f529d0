import type { Command } from 'commander';
import { z } from 'zod';
import { count, listed, OptionError, option, text, wordsOf } from '../../options.ts';
import type { Communicator } from '../../ranks/communicator.ts';
import { PRECISIONS, type Precision } from '../../runtime/devices.ts';
import {
  OPTIMIZERS,
  optimizerOptions,
  optimizerRecord,
  optimizersWith,
} from '../../training/optimizers/create-optimizer.ts';
import type { TrainingJob } from '../../training/runs/job.node.ts';
import { checkFits } from '../../training/runs/plan.ts';
import { RunDirectory } from '../../training/runs/run-directory.node.ts';
import { checkUnlocked } from '../../training/runs/run-lock.node.ts';
import { SCHEDULES, scheduleOptions, scheduleRecord, schedulesWith } from '../../training/schedule.ts';
import { trainingOptions, type Verb, WARMUP_DEFAULT } from '../../training/settings.ts';
import {
  addFlags,
  type OptionShape,
  readOptions,
  type Said,
  type ShownDefaults,
  spelling,
} from '../options/flags.ts';
import { DEVICE_HELP, PRECISION_HELP } from '../options/models.ts';
import { interruptSignal } from '../terminal/interrupt.ts';
import { Progress } from '../terminal/progress.ts';
import { showWarnings } from '../terminal/warnings.ts';
import { BANDWIDTH, LATENCY, type PlannedFlags, plannedOf, RANKS } from './planned-ranks.ts';
import { IF_ONE_IS_LOST, together, withRanks } from './ranks.ts';
import { dryRun, train, tryRates } from './run-actions.ts';

/*
 * What `train`, `finetune` and `distill` share on the command line: the options of every run, a configuration file,
 * resuming, trials, interruptions, and output.
 */

const out = option(text, 'folder for the run: checkpoints, metrics.jsonl, and the finished model', {
  value: 'dir',
});
/** What computes. */
export const engineOptions = {
  device: option(text, DEVICE_HELP, { value: 'name' }),
  precision: option(z.enum(PRECISIONS as [Precision, ...Precision[]]), PRECISION_HELP, { value: 'form' }),
  threads: option(count, 'threads of the engine', { value: 'n' }),
};

interface RunFlags extends PlannedFlags {
  readonly config?: string;
  readonly resume?: boolean;
  readonly findLr?: boolean;
  readonly json?: boolean;
}

/** What a command receives to make its job. */
export interface Surroundings {
  readonly out: string | undefined;
  readonly resume: 'never' | 'must';
  /** Whether to leave nothing behind. */
  readonly isTrial: boolean;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** Processes that train together. */
  readonly ranks: Communicator | undefined;
}

export interface RunCommand<Own extends z.ZodRawShape, More extends OptionShape> {
  readonly verb: Verb<Own>;
  /** The command's own options: where model and data come from. */
  readonly more: More;
  readonly moreDefaults: ShownDefaults;
  /**
   * Prepares a run before anything large is allocated.
   *
   * @param said the command's own options that were given, without defaults.
   * @param settings the given options of the library.
   * @param args the command's arguments.
   * @returns a job; its `close` closes everything that was opened.
   */
  open(
    said: Said<More>['values'],
    settings: Said<typeof trainingOptions & Own>['values'] & Said<typeof engineOptions>['values'],
    surroundings: Surroundings,
    args: readonly (string | undefined)[],
  ): Promise<TrainingJob>;
}

/** Adds the options of a run to a command, and its action. */
export function registerRun<Own extends z.ZodRawShape, More extends OptionShape>(
  command: Command,
  run: RunCommand<Own, More>,
): Command {
  const { verb, more, moreDefaults } = run;
  const settings = { ...verb.own, ...trainingOptions };
  const shape: OptionShape = { ...more, out, ...settings, ...engineOptions };
  command.option('--config <file>', 'a YAML file with these options; flags take precedence');
  return addFlags(command, shape, { ...moreDefaults, ...shownDefaults(verb) }, whose())
    .option('--resume', 'resume the run in --out, possibly for more steps or epochs')
    .option(
      '--dry-run',
      'print the plan: parameters, tokens, steps, memory, and the time from a measured step',
    )
    .addOption(RANKS)
    .addOption(BANDWIDTH)
    .addOption(LATENCY)
    .option('--find-lr', 'try learning rates from low to high and report where the loss falls fastest')
    .option('--json', 'print the result as JSON on stdout')
    .action(async () => {
      const flags = command.opts<RunFlags>();
      const { values, spell } = await readOptions(command, shape, flags.config);
      const among = (names: object) =>
        Object.fromEntries(Object.entries(values).filter(([name]) => Object.hasOwn(names, name)));
      const open = (surroundings: Surroundings) =>
        run.open(
          among(more) as Said<More>['values'],
          among({ ...settings, ...engineOptions }) as Parameters<typeof run.open>[1],
          surroundings,
          command.processedArgs as (string | undefined)[],
        );
      await spelling(spell, () =>
        withRanks((ranks) => execute(flags, values.out as string | undefined, open, ranks)),
      );
    });
}

/**
 * Default values of a command for help, including those of optimizers and schedules; those of its default optimizer
 * and schedule take precedence.
 */
function shownDefaults({ defaults }: Verb): ShownDefaults {
  const optimizers = [...OPTIMIZERS.toReversed(), defaults.optimizer].map(optimizerRecord);
  const schedules = [...SCHEDULES.toReversed(), defaults.schedule].map(scheduleRecord);
  return {
    ...Object.assign({}, ...[...optimizers, ...schedules].map((record) => record.defaults)),
    warmup: WARMUP_DEFAULT,
    ...defaults,
  };
}

/**
 * For help: the optimizers or schedules of options that not all have, and the texts of those that describe them
 * differently.
 */
function whose(): Readonly<Record<string, string>> {
  const notes = (
    options: z.ZodRawShape,
    having: (name: string) => readonly string[],
    recordOf: (kind: string) => { readonly options: z.ZodRawShape },
  ) =>
    Object.entries(options).map(([name, shown]) => {
      const kinds = having(name);
      const words = (schema: unknown) => wordsOf(schema as z.ZodType)?.help;
      const own = (kind: string) => words(recordOf(kind).options[name]);
      const [same, others] = [true, false].map((isSame) =>
        kinds.filter((kind) => (own(kind) === words(shown)) === isSame),
      );
      return [
        name,
        [`for ${listed(same!)}`, ...others!.map((kind) => `for ${kind}: ${own(kind)}`)].join('; '),
      ];
    });
  return Object.fromEntries([
    ...notes(optimizerOptions, optimizersWith, optimizerRecord),
    ...notes(scheduleOptions, schedulesWith, scheduleRecord),
  ]) as Record<string, string>;
}

const STOPPING = 'stopping after this step; a checkpoint will be saved …';
/** A launcher that has lost one process sends the same signal to the others. */
const STOPPING_TOGETHER =
  'stopping after this step; a checkpoint will be saved, unless another process is lost: then --resume continues from the newest one …';

async function execute(
  flags: RunFlags,
  folder: string | undefined,
  open: (surroundings: Surroundings) => Promise<TrainingJob>,
  ranks: Communicator | undefined,
): Promise<void> {
  const planned = plannedOf(flags, ranks);
  const isTrial = (flags.dryRun || flags.findLr) ?? false;
  if (folder === undefined && !isTrial)
    throw new OptionError('out', 'it is missing: give a folder for the run.');
  // Checked before the data is read, which can take minutes.
  await together(ranks, async () => {
    if (flags.resume && folder !== undefined) await RunDirectory.open(folder);
    else if (folder !== undefined && !isTrial) await RunDirectory.checkFree(folder);
    if (folder !== undefined && !isTrial) await checkUnlocked(folder);
  });
  const progress = new Progress();
  let isTraining = false;
  const { signal, dispose } = interruptSignal(() =>
    progress.note(isTraining ? (ranks ? STOPPING_TOGETHER : STOPPING) : 'stopping …'),
  );
  try {
    const resume = flags.resume ? ('must' as const) : ('never' as const);
    const job = await together(ranks, () =>
      open({ out: folder, resume, isTrial, signal, progress, ranks: planned.ranks ?? ranks }),
    );
    try {
      progress.end();
      // A run's warnings are among its events.
      if (isTrial) showWarnings(job.warnings, progress);
      if (!flags.dryRun) checkFits(job.plan);
      signal.throwIfAborted();
      if (flags.dryRun) await dryRun(job, flags.json, progress, planned.network);
      else if (flags.findLr) await tryRates(job, flags.json, signal, progress);
      else {
        isTraining = true;
        if (ranks) progress.note(`${ranks.size} processes train together. ${IF_ONE_IS_LOST} with --resume.`);
        await train(job, { out: folder!, resume, signal }, flags.json, progress);
      }
    } finally {
      await job.close();
    }
  } finally {
    progress.end();
    dispose();
  }
}
