import { type Command, Option } from 'commander';
import { type Estimate, type EstimateOptions, estimate } from '../../estimate/estimate.ts';
import { estimateRows } from '../../estimate/rows.ts';
import type { Locale } from '../../inspect/labels.ts';
import { OPTIMIZER_STATES, OPTIMIZERS } from '../../training/optimizers/create-optimizer.ts';
import { count } from '../options/options.ts';
import { inspectedModel } from '../options/resolve.ts';
import { renderComparison } from '../terminal/comparison-table.ts';
import { localeOption } from '../terminal/locale.ts';
import { forOutput } from '../terminal/printable.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface EstimateFlags {
  context: number;
  batch: number;
  seq: number;
  optimizer: NonNullable<EstimateOptions['optimizer']>;
  states?: NonNullable<EstimateOptions['states']>;
  json?: boolean;
  locale: Locale;
}

export function register(program: Command): void {
  program
    .command('estimate')
    .description(
      'Estimate parameters, file sizes, caches, operations and fine-tuning memory of models, without their weights.',
    )
    .argument('<models...>', 'families (gemma), presets (gemma-2-2b), model directories or ids on the hub')
    .option('--context <n>', 'context length for caches and operations, in tokens', count, 4096)
    .option('--batch <n>', 'rows per fine-tuning step', count, 1)
    .option('--seq <n>', 'tokens per row', count, 512)
    .addOption(
      new Option('--optimizer <name>', 'optimizer of the fine-tuning step')
        .choices(OPTIMIZERS)
        .default('adamw'),
    )
    .addOption(
      new Option('--states <format>', "storage type of AdamW's moments (default: float32)").choices(
        OPTIMIZER_STATES,
      ),
    )
    .option('--json', 'print {models: [{name, …}]} on stdout, bytes and operations as numbers')
    .addOption(localeOption())
    .addHelpText(
      'after',
      `
Examples:
  ropewalk estimate gemma-2-2b llama-3-8b
  ropewalk estimate gemma-2-9b --context 8192 --batch 2 --seq 1024 --states int8
  ropewalk estimate path/to/model --json`,
    )
    .action(run);
}

async function run(names: string[], flags: EstimateFlags, command: Command): Promise<void> {
  const { json, locale, ...options } = flags;
  const estimates: (Estimate & { readonly name: string })[] = [];
  for (const name of names) {
    const model = await inspectedModel(name);
    showWarnings(model.warnings ?? []);
    const most = model.model.maxPositions;
    // The defaults suit large models: a smaller one is estimated at its own length, with a note if more was requested.
    for (const name of ['context', 'seq'] as const) {
      if (options[name] > most && command.getOptionValueSource(name) === 'cli') {
        showWarnings([
          `--${name} ${options[name]}: this model has ${most} positions and is estimated at ${most}.`,
        ]);
      }
    }
    const context = Math.min(options.context, most);
    estimates.push({ name, ...estimate(model, { ...options, context, seq: Math.min(options.seq, most) }) });
  }
  if (json) {
    process.stdout.write(`${JSON.stringify({ models: estimates }, null, 2)}\n`);
    return;
  }
  const rows = estimateRows(estimates, locale);
  const width = process.stdout.columns ?? 120;
  process.stdout.write(`${forOutput(renderComparison({ models: names, rows }, locale, width))}\n`);
}
