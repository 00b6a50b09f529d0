import type { Command } from 'commander';
import { writeFileAtomic } from '../../files/atomic.node.ts';
import { compare, footnotes, tables } from '../../inspect/compare.ts';
import { blockDiagram } from '../../inspect/diagram.ts';
import { type Locale, tableTitles } from '../../inspect/labels.ts';
import type { NamedModel } from '../../inspect/named-model.ts';
import { inspectedModel } from '../options/resolve.ts';
import { renderComparison } from '../terminal/comparison-table.ts';
import { localeOption } from '../terminal/locale.ts';
import { forOutput } from '../terminal/printable.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface CompareFlags {
  json?: boolean;
  locale: Locale;
  diagram?: string;
}

export function register(program: Command): void {
  program
    .command('compare')
    .description('Compare architectures side by side, derived from the models that run.')
    .argument(
      '<models...>',
      'families (gemma), presets (gemma-2-2b, llama/tiny), Hugging Face model directories or ids on the hub',
    )
    .option('--json', 'print {rows: [{feature, values}], footnotes, warnings} on stdout, in English')
    .option('--diagram <file.svg>', 'also write block diagrams, aligned so that differences show')
    .addOption(localeOption())
    .addHelpText(
      'after',
      `
A family's name means its best-known size; the training data shown is then that of the whole family.

Examples:
  ropewalk compare gpt gemma gemma2 llama3
  ropewalk compare gemma-2-2b gemma-2-27b path/to/model --json
  ropewalk compare gpt llama3 --locale ko --diagram blocks.svg`,
    )
    .action(run);
}

async function run(names: string[], { json, locale, diagram }: CompareFlags): Promise<void> {
  const models: NamedModel[] = [];
  for (const name of names) models.push(await inspectedModel(name));
  const warnings = models.flatMap((model) => model.warnings ?? []);
  showWarnings(warnings);
  const rows = compare(models, json ? 'en' : locale);
  if (diagram !== undefined)
    await writeFileAtomic(diagram, new TextEncoder().encode(blockDiagram(models, locale)));
  if (json) {
    process.stdout.write(`${JSON.stringify({ rows, footnotes: footnotes(models), warnings }, null, 2)}\n`);
    return;
  }
  const width = process.stdout.columns ?? 120;
  const [families, ...generations] = tables(models, locale);
  const shown = new Set(families!.rows.map(({ feature }) => feature));
  const rest = { models: names, rows: rows.filter(({ feature }) => !shown.has(feature)) };
  const parts = [
    `${tableTitles.families[locale]}\n${renderComparison(families!, locale, width)}`,
    ...generations.map(
      (table) => `${tableTitles.generations[locale]}\n${renderComparison(table, locale, width)}`,
    ),
    `${tableTitles.numbers[locale]}\n${renderComparison(rest, locale, width)}`,
    ...footnotes(models, locale).map((note) => `* ${note}`),
  ];
  process.stdout.write(`${forOutput(parts.join('\n'))}\n`);
}
