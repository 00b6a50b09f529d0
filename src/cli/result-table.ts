import Table from 'cli-table3';
import type { JobResults } from '../report/data.ts';
import type { Locale } from '../report/html.ts';
import { measuredRows } from '../report/measured.ts';

/** The measured rows as a table for the terminal. */
export function resultTable(results: JobResults, locale: Locale): string {
  const head = [locale === 'ko' ? '측정값' : 'Measured', ...results.families.map(({ title }) => title)];
  const table = new Table({
    head,
    style: { head: [], border: [] },
    colAligns: ['left', ...results.families.map(() => 'right' as const)],
  });
  for (const { name, values } of measuredRows(results)) table.push([name[locale], ...values]);
  return table.toString();
}
