import { footnotes, tables } from '../../inspect/compare.ts';
import { type Locale, tableTitles } from '../../inspect/labels.ts';
import { namedPreset } from '../../inspect/named-model.ts';
import { measuredRows } from '../../report/measured.ts';
import type { JobResults } from '../../report/results.ts';
import { renderComparison } from './comparison-table.ts';

/** The comparison of the trained families, followed by the measurements, for the terminal. */
export function resultTables(results: JobResults, locale: Locale, width: number): string {
  const models = results.families.flatMap(({ family }) => namedPreset(family) ?? []);
  const names = models.map(({ name }) => name);
  const [families, ...generations] = tables(models, locale);
  const measured = measuredRows(results).map(({ name, values }) => ({
    feature: name[locale],
    values: Object.fromEntries(names.map((model, i) => [model, values[i]!])),
  }));
  const title = locale === 'ko' ? '이 모델들에서 잰 값' : 'Measured on these models';
  const parts = [
    `${tableTitles.families[locale]}\n${renderComparison(families!, locale, width)}`,
    ...generations.map(
      (table) => `${tableTitles.generations[locale]}\n${renderComparison(table, locale, width)}`,
    ),
    ...footnotes(models, locale).map((note) => `* ${note}`),
    `\n${title}\n${renderComparison({ models: names, rows: measured }, locale, width)}`,
  ];
  return parts.join('\n');
}
