import type { Command } from 'commander';
import pc from 'picocolors';
import { samplingText } from '../../generation/sampling-defaults.ts';
import { compare } from '../../inspect/compare.ts';
import { diffTrees, type Mark } from '../../inspect/diff.ts';
import { renderDiff } from '../../inspect/diff-text.ts';
import type { Locale } from '../../inspect/labels.ts';
import { summarize } from '../../inspect/summary.ts';
import { printTree } from '../../inspect/tree.ts';
import { inspectedModel } from '../options/resolve.ts';
import { renderComparison } from '../terminal/comparison-table.ts';
import { localeOption } from '../terminal/locale.ts';
import { forOutput } from '../terminal/printable.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface InspectFlags {
  json?: boolean;
  tree?: boolean;
  locale: Locale;
}

interface DiffFlags {
  json?: boolean;
  locale: Locale;
}

const MODEL =
  'a family (gemma), a preset (gemma-2-2b, llama/tiny), a Hugging Face model directory or an id on the hub';

export function register(program: Command): void {
  const inspect = program
    .command('inspect')
    .description('Show the sizes, parts and costs of a model, or its module tree.')
    .argument('<model>', MODEL)
    .option(
      '--json',
      'print {family, parameters, layers, …, sampling, warnings} on stdout; with --tree {tree, warnings}',
    )
    .option('--tree', 'print the modules as PyTorch does')
    .addOption(localeOption())
    .addHelpText(
      'after',
      `
Examples:
  ropewalk inspect gemma-2-2b
  ropewalk inspect path/to/model --json
  ropewalk inspect llama-3.2-1b --tree
  ropewalk inspect diff gpt gemma`,
    )
    .action(run);
  for (const parent of [inspect, program]) registerDiff(parent);
}

function registerDiff(parent: Command): void {
  parent
    .command('diff')
    .description('Compare the module trees of two models: added, removed, renamed, changed, replaced.')
    .argument('<a>', MODEL)
    .argument('<b>', 'the other model')
    .option('--json', 'print {rows: [{role, left, right, mark, changes, fields}], warnings} on stdout')
    .addOption(localeOption())
    .addHelpText(
      'after',
      `
Modules are matched by what they do in the recorded graph, not by their names. Plain tensors of PyTorch
are in square brackets.

Examples:
  ropewalk diff gpt gemma
  ropewalk diff gemma/tiny gemma2/tiny --json`,
    )
    .action(diff);
}

async function run(name: string, { json, tree, locale }: InspectFlags): Promise<void> {
  const model = await inspectedModel(name);
  const { sampling, warnings = [] } = model;
  showWarnings(warnings);
  if (tree) {
    const text = printTree(model.model);
    print(json ? JSON.stringify({ tree: text, warnings }, null, 2) : text);
    return;
  }
  if (json) {
    print(JSON.stringify({ ...summarize(model, name), sampling: sampling ?? {}, warnings }, null, 2));
    return;
  }
  const rows = compare([model], locale);
  print(forOutput(renderComparison({ models: [name], rows }, locale, process.stdout.columns ?? 120)));
  if (sampling && Object.keys(sampling).length > 0) print(`${SAMPLING[locale]}: ${samplingText(sampling)}`);
}

/** Shown before the sampling defaults of a model's configuration. */
const SAMPLING: Readonly<Record<Locale, string>> = {
  en: 'default sampling',
  ko: '기본 샘플링',
};

/** `inspect diff` and `diff` are the same command; options shared with `inspect` are parsed there first. */
async function diff(a: string, b: string, _: DiffFlags, command: Command): Promise<void> {
  const { json, locale } = command.optsWithGlobals<DiffFlags>();
  const left = await inspectedModel(a);
  const right = await inspectedModel(b);
  const warnings = [...(left.warnings ?? []), ...(right.warnings ?? [])];
  showWarnings(warnings);
  const rows = diffTrees(left.model, right.model);
  if (json) print(JSON.stringify({ rows, warnings }, null, 2));
  else print(renderDiff(rows, { locale, names: [forOutput(a), forOutput(b)], paint }));
}

const COLORS: Readonly<Record<Mark, (line: string) => string>> = {
  same: (line) => line,
  added: pc.green,
  removed: pc.red,
  renamed: pc.cyan,
  changed: pc.yellow,
  replaced: pc.magenta,
};

function paint(mark: Mark, line: string): string {
  return COLORS[mark](line);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
