import { type Command, Option } from 'commander';
import pc from 'picocolors';
import { openTokenizer } from '../../checkpoint/tokenizer.node.ts';
import { type DataExample, examplesOf } from '../../data/examples.node.ts';
import { previewRuns } from '../../data/preview.ts';
import { resolveData } from '../../data/reading/resolve-data.node.ts';
import { type DataReport, ReportBuilder } from '../../data/report.ts';
import { resolveModel } from '../../hub/resolve.node.ts';
import { repositoryNamed } from '../../hub/settings.node.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { addColumnOptions, type ColumnFlags, columnsOf, templateOf } from '../options/data-options.ts';
import { collect, count, wholeNumber } from '../options/options.ts';
import { downloading } from '../options/resolve.ts';
import { forOutput } from '../terminal/printable.ts';
import { Progress } from '../terminal/progress.ts';

interface PreviewFlags extends ColumnFlags {
  data: string[];
  template?: string;
  trainOn: 'assistant' | 'all';
  maxLength: number;
  tooLong: 'truncate' | 'drop';
  malformed: 'stop' | 'drop';
  rows: number;
  from: number;
  json?: boolean;
}

const EXAMPLE = `
Trained tokens are green; without colours they stand between ⟦ and ⟧. All rows are read, so that the report is of all.

Examples:
  ropewalk data preview path/to/model --data chats.jsonl
  ropewalk data preview path/to/model --data pairs.csv --prompt-column Q --completion-column A --template chatml
  ropewalk data preview path/to/model --data org/name:train.parquet --rows 0 --json`;

export function register(program: Command): void {
  const data = program
    .command('data')
    .description('Look at data for fine-tuning.')
    .addHelpText('after', EXAMPLE);
  const preview = data
    .command('preview')
    .description(
      'Print examples as a model is trained on them: which tokens are trained, and a report of lengths.',
    )
    .argument('<model>', 'a model directory, a GGUF file, a tokenizer.json, or an id on the hub')
    .requiredOption(
      '--data <file|id>',
      'JSONL, JSON, CSV, TSV or Parquet, a folder of them, or a data set on the hub; may be given several times',
      collect,
    )
    .option('--template <name|file>', 'a chat template for a model that has none');
  addColumnOptions(preview)
    .addOption(
      new Option('--train-on <which>', 'tokens whose loss counts')
        .choices(['assistant', 'all'])
        .default('assistant'),
    )
    .option('--max-length <n>', 'tokens of an example', count, 513)
    .addOption(
      new Option('--too-long <what>', 'for longer examples')
        .choices(['truncate', 'drop'])
        .default('truncate'),
    )
    .addOption(
      new Option('--malformed <what>', 'for rows that cannot be read')
        .choices(['stop', 'drop'])
        .default('stop'),
    )
    .option('--rows <n>', 'examples to print; 0 for the report alone', wholeNumber, 3)
    .option('--from <n>', 'the first one to print', count, 1)
    .option('--json', 'print {examples: [{where, ids, trained, runs}], report} on stdout')
    .addHelpText('after', EXAMPLE)
    .action(previewData);
}

async function previewData(model: string, flags: PreviewFlags): Promise<void> {
  const tokenizer = await openTokenizer(
    await downloading((watching) => resolveModel(model, { weights: false, ...watching })),
  );
  const template = flags.template === undefined ? undefined : await templateOf(flags.template, tokenizer);
  const files: string[] = [];
  for (const name of flags.data) files.push(...(await dataFiles(name)));
  const progress = new Progress();
  const report = new ReportBuilder();
  const { trainOn, maxLength, tooLong, malformed, from, rows } = flags;
  const examples: DataExample[] = [];
  let number = 0;
  const options = {
    tokenizer,
    template,
    files,
    columns: columnsOf(flags),
    trainOn,
    maxLength,
    tooLong,
    malformed,
  };
  for await (const example of examplesOf(
    {
      ...options,
      onProgress: ({ rows: read, tokens }) => {
        if (read % 1000 === 0) progress.note(`${read} rows, ${tokens} tokens`);
      },
    },
    report,
  )) {
    number++;
    if (number >= from && examples.length < rows) {
      examples.push(example);
      if (!flags.json) print(example, number, tokenizer);
    }
  }
  const built = report.build(maxLength);
  if (flags.json) {
    const shown = examples.map(({ where, ids, trained }) => ({
      where,
      ids: [...ids],
      trained: [...trained],
      runs: previewRuns(tokenizer, { ids, trained }),
    }));
    process.stdout.write(`${JSON.stringify({ examples: shown, report: built })}\n`);
  } else process.stdout.write(`${reportText(built)}\n`);
}

/** Downloads are shown; files are there at once. */
async function dataFiles(name: string): Promise<string[]> {
  let files: string[] = [];
  if (!repositoryNamed(name, 'datasets')) return resolveData([name]);
  await downloading(async (watching) => {
    files = await resolveData([name], watching);
    return name;
  });
  return files;
}

function print({ where, ids, trained }: DataExample, number: number, tokenizer: Tokenizer): void {
  const count = trained.reduce((sum, one) => sum + one, 0);
  const text = previewRuns(tokenizer, { ids, trained })
    .map((run) => {
      const shown = forOutput(run.text);
      if (!pc.isColorSupported) return run.trained ? `⟦${shown}⟧` : shown;
      return run.trained ? pc.green(shown) : pc.dim(shown);
    })
    .join('');
  const head = `${number}  ${forOutput(where)}  ${ids.length} tokens, ${count} trained`;
  process.stdout.write(`${pc.bold(head)}\n${text}\n\n`);
}

function reportText({
  rows,
  examples,
  tokens,
  trainedTokens,
  lengths,
  truncated,
  dropped,
  maxLength,
}: DataReport): string {
  const n = (value: number) => Math.round(value).toLocaleString('en');
  const share = tokens === 0 ? 0 : (100 * trainedTokens) / tokens;
  const lines = [
    `rows       ${n(rows)}, of which ${n(examples)} are examples`,
    `tokens     ${n(tokens)}, of which ${n(trainedTokens)} are trained (${share.toFixed(1)} %)`,
    `lengths    least ${n(lengths.min)}, median ${n(lengths.median)}, mean ${n(lengths.mean)}, 90 % up to ${n(lengths.p90)}, 99 % up to ${n(lengths.p99)}, most ${n(lengths.max)}`,
    `truncated  ${n(truncated.examples)} examples at ${n(maxLength)} tokens, which took ${n(truncated.tokens)} tokens`,
    `dropped    ${n(dropped.reduce((sum, { rows: count }) => sum + count, 0))} rows`,
    ...dropped.map(
      ({ reason, rows: count, first }) => `  ${n(count)} ${reason}: ${forOutput(first.join('; '))}`,
    ),
  ];
  return lines.join('\n');
}
