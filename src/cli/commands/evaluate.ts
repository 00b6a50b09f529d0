import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { RopewalkError } from '../../errors.ts';
import { compareEvaluations } from '../../evaluate/compare.ts';
import type { Evaluation } from '../../evaluate/evaluate.ts';
import { evaluatePath } from '../../evaluate/evaluate-path.node.ts';
import { buildEvaluationReport, type ReportedEvaluations } from '../../evaluate/report.ts';
import { type SelectedTasks, selectTasks } from '../../evaluate/tasks/select.node.ts';
import { writeFileAtomic } from '../../files/atomic.node.ts';
import type { Locale } from '../../inspect/labels.ts';
import { agree } from '../../ranks/agree.ts';
import type { Communicator } from '../../ranks/communicator.ts';
import { addDecoderOptions, type DecoderFlags, decoderOptions } from '../options/models.ts';
import { collect, count, positive, wholeNumber } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import { IF_ONE_IS_LOST, together, withRanks } from '../runs/ranks.ts';
import { renderComparedEvaluations, renderEvaluation } from '../terminal/evaluation-table.ts';
import { INTERRUPTED, interruptSignal, isInterruption } from '../terminal/interrupt.ts';
import { localeOption } from '../terminal/locale.ts';
import { forOutput } from '../terminal/printable.ts';
import { duration, Progress } from '../terminal/progress.ts';
import { printResult } from '../terminal/silence.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface EvaluateFlags extends Omit<DecoderFlags, 'activations'> {
  task: string[];
  tasksDir?: string;
  data?: Map<string, string>;
  limit?: number;
  shots?: number;
  chat?: boolean;
  singleTurn?: boolean;
  system?: string;
  batch: number;
  out?: string;
  json?: boolean;
  locale: Locale;
}

export function register(program: Command): void {
  const command = program
    .command('evaluate')
    .description('Evaluate a model, or compare two, on tasks in the format of lm-evaluation-harness 0.4.13.')
    .argument('<model>', 'a Hugging Face model directory, a GGUF file, or an id on the hub')
    .argument('[after]', 'a second model, compared with the first item by item')
    .requiredOption(
      '--task <name>',
      'a task file (YAML); with --tasks-dir, the name of a task, group or tag; or "forgetting", a built-in check of general English and Korean; may be given several times',
      collect,
    )
    .option('--tasks-dir <dir>', 'folder of task files, for names and for the members of groups')
    .option(
      '--data <name=path>',
      'rows of a data set: NAME is the dataset_path of tasks (or path:name, or a task), with @SPLIT for one split; PATH a file or a folder with a file for each split; may be given several times',
      place,
    )
    .option('--limit <n>', 'items of each task at most; below 1 a share of them', positive)
    .option('--shots <k>', 'examples before each item, unless a task says 0', wholeNumber)
    .option('--chat', "write prompts with the model's chat template, examples as turns of their own")
    .option('--single-turn', "with --chat: examples stand in the user's one message")
    .option('--system <text>', "a system message before a task's description")
    .option('--batch <n>', 'most sequences that run together', count, 16)
    .option(
      '--out <dir>',
      'folder of the answers, one line of JSON for each item, and the results; an interrupted evaluation in it is resumed',
    )
    .option('--json', 'print the results on stdout instead of the table')
    .addOption(localeOption())
    .addHelpText(
      'after',
      `
Data sets that --data does not name are read from the hub, from their Parquet copies. Nothing of a task or a data set is
executed: a task that needs Python (!function) is refused by name.

Examples:
  ropewalk evaluate HuggingFaceTB/SmolLM2-135M --task lm_eval/tasks/haerae/haerae_gk.yaml --limit 100
  ropewalk evaluate path/to/model --task kmmlu_humss_tasks --tasks-dir lm_eval/tasks/kmmlu --limit 100 --out runs/kmmlu
  ropewalk evaluate path/to/before path/to/after --task my-task.yaml --data my/data=test.jsonl --chat --out runs/compared`,
    )
    .action((before: string, after: string | undefined, flags: EvaluateFlags) =>
      withRanks((ranks) => run(before, after, flags, ranks)),
    );
  addDecoderOptions(command, { activations: false });
}

function place(text: string, previous: Map<string, string> = new Map()): Map<string, string> {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('Give NAME=PATH.');
  return new Map(previous).set(text.slice(0, at), text.slice(at + 1));
}

async function run(
  before: string,
  after: string | undefined,
  flags: EvaluateFlags,
  ranks: Communicator | undefined,
): Promise<void> {
  if (flags.singleTurn && !flags.chat) throw new RopewalkError('--single-turn needs --chat.');
  const selected = await together(ranks, () => selectTasks(flags.task, flags.tasksDir));
  if (ranks) await agree(ranks, given(before, after, flags));
  const progress = new Progress();
  const { signal, dispose } = interruptSignal(() => progress.note('stopping after this run …'));
  const surroundings = { signal, progress, ranks };
  if (ranks) progress.note(`${ranks.size} processes share the requests. ${IF_ONE_IS_LOST}.`);
  try {
    const compares = after !== undefined;
    const out = (name: string) => (flags.out && compares ? join(flags.out, name) : flags.out);
    const first = await evaluate(before, selected, flags, { out: out('before'), ...surroundings });
    const write = async (action: (folder: string) => Promise<void>) => {
      if (flags.out && !(ranks && ranks.rank > 0)) await action(flags.out);
    };
    if (!compares) {
      await write((folder) => writeReport(folder, { evaluation: first }, flags.locale));
      print(flags, first.result, renderEvaluation(first.result, flags.locale));
      return;
    }
    const second = await evaluate(after, selected, flags, { out: out('after'), ...surroundings });
    const comparisons = compareEvaluations(first.tasks, second.tasks);
    const result = { before: first.result, after: second.result, comparisons };
    await write(async (folder) => {
      await writeFileAtomic(join(folder, 'comparison.json'), `${JSON.stringify(result, null, 2)}\n`);
      await writeReport(folder, { evaluation: first, after: second, comparisons }, flags.locale);
    });
    print(flags, result, renderComparedEvaluations(comparisons, flags.locale));
  } catch (error) {
    // Ranks stop together, whichever of them was interrupted.
    if (ranks ? !isInterruption(error) : !signal.aborted) throw error;
    progress.note(
      flags.out ? 'interrupted; the same command resumes' : 'interrupted; with --out it could be resumed',
    );
    process.exitCode = INTERRUPTED;
  } finally {
    progress.end();
    dispose();
  }
}

/** What ranks must have in common. */
function given(
  before: string,
  after: string | undefined,
  { threads, out, json, locale, data, ...same }: EvaluateFlags,
): Record<string, unknown> {
  return { before, after, ...same, data: data && Object.fromEntries(data) };
}

function writeReport(out: string, shown: ReportedEvaluations, locale: Locale): Promise<void> {
  return writeFileAtomic(join(out, 'report.html'), buildEvaluationReport(shown, locale));
}

function print({ json }: EvaluateFlags, result: object, table: string): void {
  printResult(json ? `${JSON.stringify(result, null, 2)}\n` : `${forOutput(table)}\n`);
}

interface Surroundings {
  readonly out: string | undefined;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  readonly ranks: Communicator | undefined;
}

async function evaluate(
  name: string,
  selected: SelectedTasks,
  { limit, shots, chat, singleTurn, system, batch, data, ...decoder }: EvaluateFlags,
  { out, signal, progress, ranks }: Surroundings,
): Promise<Evaluation> {
  const began = performance.now();
  let first: number | undefined;
  const path = await together(ranks, () => modelPath(name));
  const evaluation = await evaluatePath(path, selected, {
    ...decoderOptions(decoder),
    ...{ name, limit, shots, chat, singleTurn, system, batch, data, out, signal, ranks },
    onWarnings: (warnings) => showWarnings(warnings, progress),
    onResume: (answers) => progress.note(`${out}: resuming after ${answers} answers`),
    hub: { signal },
    onProgress(done, total) {
      first ??= done;
      const speed = (done - first) / Math.max(1e-3, (performance.now() - began) / 1000);
      const left = speed > 0 && done < total ? `, ${duration((total - done) / speed)} left` : '';
      progress.update('evaluating', done, total, `${done}/${total} requests${left}  ${name}`);
    },
  });
  progress.end();
  return evaluation;
}
