import { join } from 'node:path';
import type { Command } from 'commander';
import { ABLATION_FILE, ablate } from '../../ablate/ablate.node.ts';
import type { AblationSettings } from '../../ablate/ablate.ts';
import { ablationRows, drawAblation } from '../../ablate/presentation.ts';
import { writeFileAtomic } from '../../files/atomic.node.ts';
import type { Locale } from '../../inspect/labels.ts';
import { svg } from '../../report/plot.ts';
import { nodeEngine } from '../../runtime/engine.node.ts';
import { prepareCorpus } from '../../start/corpus.node.ts';
import { JobFolder } from '../../start/folder.node.ts';
import { jobSettings } from '../../start/settings.ts';
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
    .option('--threads <n>', 'threads of the engine', count, 2)
    .option('--json', 'print the result on stdout instead of the table')
    .addOption(localeOption())
    .addHelpText(
      'after',
      `
All models train on the built-in text, like those of "ropewalk start". The folder also gets ${ABLATION_FILE} and ablation.svg.

Examples:
  ropewalk ablate --from gpt --to llama3
  ropewalk ablate --from gemma --to gemma2 --seeds 5 --steps 1000`,
    )
    .action(run);
}

async function run({ from, to, steps, seeds, out, threads, json, locale }: AblateFlags): Promise<void> {
  const progress = new Progress();
  const { signal, dispose } = interruptSignal(() => progress.note('stopping after this run …'));
  try {
    const job = { ...jobSettings(steps), families: [] };
    const folder = await JobFolder.open(
      join(out, 'corpus'),
      { ...job, training: { ...jobSettings(1).training } },
      false,
    );
    const corpus = await prepareCorpus(folder, job, () => {});
    const { lr, warmup, minLrRatio = 0.1, clip, weightDecay } = job.training;
    const settings: AblationSettings = {
      ...{ from, to, weightDecay },
      training: { steps, accumulate: 1, lr, schedule: 'cosine', warmup, minLrRatio, clip },
      seeds: Array.from({ length: seeds }, (_, seed) => seed),
      shape: { batch: job.batch, seq: job.seq },
    };
    const data = {
      ...{ training: corpus.training, validation: corpus.validation },
      vocabSize: corpus.tokenizer.vocabSize,
    };
    const onRun = (name: string, done: number, total: number) => progress.update('run', done, total, name);
    const result = await ablate(nodeEngine({ threads }), out, data, settings, { signal, onRun });
    progress.end();
    if (!result) {
      progress.note('interrupted; the same command resumes');
      process.exitCode = INTERRUPTED;
      return;
    }
    const { area, content } = drawAblation(result);
    const picture = svg(area, 'title', content).markup.replace(
      '<svg ',
      '<svg xmlns="http://www.w3.org/2000/svg" ',
    );
    await writeFileAtomic(join(out, 'ablation.svg'), picture);
    const table = renderComparison(ablationRows(result, locale), locale, process.stdout.columns ?? 140);
    process.stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : `${forOutput(table)}\n`);
  } finally {
    progress.end();
    dispose();
  }
}
