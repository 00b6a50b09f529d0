import type { Command } from 'commander';
import { RopewalkError } from '../../errors.ts';
import { writeFileAtomic } from '../../files/atomic.node.ts';
import type { Locale } from '../../inspect/labels.ts';
import { readTextFiles } from '../../text/files.node.ts';
import { textSize, tokenCosts } from '../../vocabulary/costs.ts';
import { tokenCostsPage } from '../../vocabulary/page.ts';
import { costRows, type NamedCosts, textSizeLine, worstRows } from '../../vocabulary/presentation.ts';
import { collect, wholeNumber } from '../options/options.ts';
import { TOKENIZER_ARGUMENT, tokenizerNamed } from '../options/tokenizers.ts';
import { renderComparison } from '../terminal/comparison-table.ts';
import { localeOption } from '../terminal/locale.ts';
import { forOutput } from '../terminal/printable.ts';
import { Progress } from '../terminal/progress.ts';

interface ReportFlags {
  text: string[];
  words: number;
  html?: string;
  json?: boolean;
  locale: Locale;
}

export const REPORT_EXAMPLE = `
  ropewalk tokenizer report HuggingFaceTB/SmolLM2-135M google/gemma-2-2b --text korean.txt`;

export function registerReport(tokenizer: Command): void {
  tokenizer
    .command('report')
    .description(
      'Show how many tokens a text takes: per word, syllable, byte and script, for several models.',
    )
    .argument('<models...>', TOKENIZER_ARGUMENT)
    .requiredOption(
      '--text <file>',
      'UTF-8 text (also .gz), a pattern, or a folder of .txt and .md; may be given several times',
      collect,
    )
    .option('--words <n>', 'number of worst words to list', wholeNumber, 10)
    .option('--html <file>', 'also write the report as an HTML page')
    .option('--json', 'print {text, models: [{name, vocabSize, tokens, …}]} on stdout')
    .addOption(localeOption())
    .addHelpText(
      'after',
      `
A token counts for the script of its first character that is not white space. A word is a run of characters without white
space. The worst words are those that would save the most tokens if each were one token.

Examples:${REPORT_EXAMPLE}
  ropewalk tokenizer report path/to/model --text texts/ --json`,
    )
    .action(report);
}

async function report(models: string[], { text, words, html, json, locale }: ReportFlags): Promise<void> {
  const twice = models.find((name, i) => models.indexOf(name) < i);
  if (twice !== undefined) throw new RopewalkError(`${twice} is named twice; name each model once.`);
  const progress = new Progress();
  const files = await readTextFiles(text, { onWarning: (warning) => progress.note(warning) });
  const texts = files.map((file) => file.text);
  const size = textSize(texts);
  const named: NamedCosts[] = [];
  for (const name of models) {
    const tokenizer = await tokenizerNamed(name);
    const costs = tokenCosts(tokenizer, texts, size, { words });
    named.push({ name, vocabSize: tokenizer.vocabSize, costs });
  }
  if (html !== undefined) {
    await writeFileAtomic(html, tokenCostsPage(named, size, locale));
    progress.note(`${html}: the report as a page`);
  }
  if (json) {
    const all = named.map(({ costs, ...rest }) => ({ ...rest, ...costs }));
    process.stdout.write(`${JSON.stringify({ text: size, models: all }, null, 2)}\n`);
    return;
  }
  const width = process.stdout.columns ?? 120;
  const parts = [
    textSizeLine(size),
    renderComparison({ models, rows: costRows(named, size) }, 'en', width),
    ...named.flatMap(({ name, costs }) => {
      if (costs.worst.length === 0) return [];
      const { columns, rows } = worstRows(costs.worst);
      return [`\nWorst words of ${name}`, renderComparison({ models: columns, rows }, 'en', width)];
    }),
  ];
  process.stdout.write(`${forOutput(parts.join('\n'))}\n`);
}
