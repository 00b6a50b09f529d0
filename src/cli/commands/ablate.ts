import { join } from 'node:path';
import type { Command } from 'commander';
import { ABLATION_FILE } from '../../ablate/ablate.node.ts';
import { ablationSvg } from '../../ablate/drawing.ts';
import { ablationNotes, ablationRows } from '../../ablate/presentation.ts';
import { writeFileAtomic } from '../../files/atomic.node.ts';
import type { Locale } from '../../inspect/labels.ts';
import { ABLATION_PICTURE, builtInAblation } from '../../start/ablation.node.ts';
import { count } from '../options/options.ts';
import { renderComparison } from '../terminal/comparison-table.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { localeOption } from '../terminal/locale.ts';
import { forOutput } from '../terminal/printable.ts';
import { Progress } from '../terminal/progress.ts';

interface AblateFlags {
  from: string;
  to: string;
  steps: number;
  seeds: number;
  out: string;
  threads: number;
  fresh?: boolean;
  json?: boolean;
  locale: Locale;
}

export function register(program: Command): void {
  program
    .command('ablate')
    .description(
      'Measure what each single change from one family to another gains, with the same data and budget and several seeds.',
    )
    .requiredOption('--from <family>', 'family to start from, such as gpt')
    .requiredOption('--to <family>', 'family to reach, one part at a time, such as llama3')
    .option('--steps <n>', 'optimizer steps of each run', count, 600)
    .option('--seeds <n>', 'seeds for each model: they draw its weights and the order of its data', count, 3)
    .option(
      '--out <dir>',
      'folder of the result; an interrupted ablation in it is resumed',
      join('ropewalk-runs', 'ablation'),
    )
    .option('--fresh', 'start over: removes the ablation in --out')
    .option('--threads <n>', 'threads of the engine', count, 2)
    .option('--json', 'print the result on stdout instead of the table')
    .addOption(localeOption())
    .addHelpText(
      'after',
      `
All models train on the built-in text, like those of "ropewalk start". The folder also gets ${ABLATION_FILE} and ${ABLATION_PICTURE};
"ropewalk explore DIR" shows them in the browser.

Examples:
  ropewalk ablate --from gpt --to llama3
  ropewalk ablate --from gemma --to gemma2 --seeds 5 --steps 1000`,
    )
    .action(run);
}

async function run({ json, locale, out, ...options }: AblateFlags): Promise<void> {
  const progress = new Progress();
  const { signal, dispose } = interruptSignal(() => progress.note('stopping …'));
  try {
    const onRun = (name: string, done: number, total: number) => progress.update('run', done, total, name);
    const result = await builtInAblation(out, { ...options, signal, onRun });
    progress.end();
    if (!result) {
      progress.note('interrupted; the same command resumes after the last finished run');
      process.exitCode = INTERRUPTED;
      return;
    }
    await writeFileAtomic(join(out, ABLATION_PICTURE), ablationSvg(result, locale));
    if (json) {
      process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
      return;
    }
    const table = renderComparison(ablationRows(result, locale), locale, process.stdout.columns ?? 140);
    process.stdout.write(`${forOutput([table, ...ablationNotes(result, locale)].join('\n'))}\n`);
  } finally {
    progress.end();
    dispose();
  }
}
