import type { Command } from 'commander';
import pc from 'picocolors';
import { openTokenizer } from '../../checkpoint/tokenizer.node.ts';
import type { DataProgress } from '../../data/examples.node.ts';
import { type NumberedExample, previewData } from '../../data/preview.node.ts';
import { type PreviewRun, previewRuns } from '../../data/preview.ts';
import { resolveData } from '../../data/reading/resolve-data.node.ts';
import { type DataReport, spelledNote } from '../../data/report.ts';
import { resolveModel } from '../../hub/resolve.node.ts';
import { repositoryNamed } from '../../hub/settings.node.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { addExampleOptions, DATA_HELP, type ExampleFlags, exampleOptions } from '../options/data-options.ts';
import { collect, count, wholeNumber } from '../options/options.ts';
import { downloading } from '../options/resolve.ts';
import { asFlag } from '../options/spelling.ts';
import { forOutput } from '../terminal/printable.ts';
import { Progress } from '../terminal/progress.ts';

interface PreviewFlags extends ExampleFlags {
  data: string[];
  maxLength: number;
  rows: number;
  from: number;
  json?: boolean;
}

const EXAMPLE = `
Trained tokens are green, special tokens underlined. Without colors, trained tokens are between ⟦ and ⟧, special ones between
⟪ and ⟫; a special token's text without these marks is plain text. The report covers all rows.

Examples:
  ropewalk data preview path/to/model --data chats.jsonl
  ropewalk data preview path/to/model --data pairs.csv --prompt-column Q --completion-column A --template chatml
  ropewalk data preview path/to/model --data org/name:train.parquet --rows 0 --json`;

export function register(program: Command): void {
  const data = program
    .command('data')
    .description('Inspect data for fine-tuning.')
    .addHelpText('after', EXAMPLE);
  const preview = data
    .command('preview')
    .description(
      'Print examples as a model sees them in training, with the trained tokens marked, and a report of lengths.',
    )
    .argument('<model>', 'a model directory, a GGUF file, a tokenizer.json, or an id on the hub')
    .requiredOption('--data <file|id>', DATA_HELP, collect);
  addExampleOptions(preview)
    .option('--max-length <n>', 'maximum number of tokens per example', count, 513)
    .option('--rows <n>', 'examples to print; 0 for only the report', wholeNumber, 3)
    .option('--from <n>', 'number of the first example to print', count, 1)
    .option('--json', 'print {examples: [{where, ids, trained, runs}], report} on stdout')
    .addHelpText('after', EXAMPLE)
    .action(show);
}

async function show(model: string, flags: PreviewFlags): Promise<void> {
  const tokenizer = await openTokenizer(
    await downloading((watching) => resolveModel(model, { weights: false, ...watching })),
  );
  const progress = new Progress();
  const files: string[] = [];
  for (const name of flags.data) files.push(...(await dataFiles(name, (text) => progress.note(text))));
  const options = {
    ...{ ...(await exampleOptions(flags, tokenizer)), tokenizer, files, maxLength: flags.maxLength },
    onProgress({ rows, tokens, share }: DataProgress) {
      if (rows % 1000 === 0)
        progress.note(`${rows} rows, ${tokens} tokens (${Math.floor(100 * share)} % of the data)`);
    },
  };
  const shown: object[] = [];
  const preview = previewData(options, { from: flags.from, count: flags.rows });
  for (;;) {
    const { done, value } = await preview.next();
    if (done) {
      if (value.spelled) progress.note(spelledNote(value.spelled, asFlag));
      process.stdout.write(
        flags.json ? `${JSON.stringify({ examples: shown, report: value })}\n` : `${reportText(value)}\n`,
      );
      return;
    }
    if (flags.json) shown.push(asJson(value, tokenizer));
    else print(value, tokenizer);
  }
}

function asJson({ where, ids, trained }: NumberedExample, tokenizer: Tokenizer): object {
  const runs = previewRuns(tokenizer, { ids, trained });
  return { where, ids: [...ids], trained: [...trained], runs };
}

/** Shows downloads; files are available immediately. */
async function dataFiles(name: string, onNote: (text: string) => void): Promise<string[]> {
  let files: string[] = [];
  if (!repositoryNamed(name, 'datasets')) return resolveData([name], { onNote });
  await downloading(async (watching) => {
    files = await resolveData([name], { ...watching, onNote });
    return name;
  });
  return files;
}

function print({ where, ids, trained, number }: NumberedExample, tokenizer: Tokenizer): void {
  const count = trained.reduce((sum, one) => sum + one, 0);
  const runs = previewRuns(tokenizer, { ids, trained });
  const head = `${number}  ${forOutput(where)}  ${ids.length} tokens, ${count} trained`;
  process.stdout.write(`${pc.bold(head)}\n${pc.isColorSupported ? colored(runs) : bracketed(runs)}\n\n`);
}

function colored(runs: readonly PreviewRun[]): string {
  return runs
    .map(({ text, trained, special }) => {
      const shown = special ? pc.underline(forOutput(text)) : forOutput(text);
      return trained ? pc.green(shown) : pc.dim(shown);
    })
    .join('');
}

/** Without colors: ⟦ and ⟧ around trained text, ⟪ and ⟫ around special tokens. */
function bracketed(runs: readonly PreviewRun[]): string {
  return runs
    .map(({ text, trained, special }, i) => {
      const shown = special ? `⟪${forOutput(text)}⟫` : forOutput(text);
      const begins = trained && !runs[i - 1]?.trained;
      const ends = trained && !runs[i + 1]?.trained;
      return `${begins ? '⟦' : ''}${shown}${ends ? '⟧' : ''}`;
    })
    .join('');
}

function reportText({
  rows,
  examples,
  tokens,
  trainedTokens,
  lengths,
  truncated,
  continued,
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
    ...(continued.rows > 0
      ? [`continued  ${n(continued.rows)} texts, which make ${n(continued.examples)} examples`]
      : []),
    `dropped    ${n(dropped.reduce((sum, { rows: count }) => sum + count, 0))} rows`,
    ...dropped.map(
      ({ reason, rows: count, first }) => `  ${n(count)} ${reason}: ${forOutput(first.join('; '))}`,
    ),
  ];
  return lines.join('\n');
}
