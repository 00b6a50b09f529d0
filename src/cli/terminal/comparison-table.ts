import Table from 'cli-table3';
import type { ComparisonTable } from '../../inspect/compare.ts';
import { type Locale, tableTitles } from '../../inspect/labels.ts';

/** With narrower columns, a table would contain single syllables; it is then wider than the terminal. */
const NARROWEST_COLUMN = 12;

/**
 * A comparison as a table for the terminal.
 *
 * @param width columns of the terminal; longer cells are wrapped to fit.
 */
export function renderComparison({ models, rows }: ComparisonTable, locale: Locale, width: number): string {
  const first = Math.min(34, Math.max(...rows.map(({ feature }) => displayWidth(feature))) + 2);
  const borders = models.length + 2;
  const share = Math.floor((width - first - borders) / models.length);
  const table = new Table({
    head: [tableTitles.feature[locale], ...models],
    style: { head: [], border: [] },
    colWidths: [first, ...models.map(() => Math.max(NARROWEST_COLUMN, Math.min(40, share)))],
    wordWrap: true,
  });
  for (const { feature, values } of rows) table.push([feature, ...models.map((name) => values[name] ?? '')]);
  return table.toString();
}

/** Korean syllables are two columns wide. */
function displayWidth(text: string): number {
  let width = 0;
  for (const character of text)
    width += /[\u1100-\u11ff\u3000-\u9fff\uac00-\ud7a3\uff00-\uff60]/.test(character) ? 2 : 1;
  return width;
}
