import { type ComparisonTable, footnotes, tables } from '../../inspect/compare.ts';
import { namedPreset } from '../../inspect/named-model.ts';
import type { JobResults } from '../data.ts';
import { both, type Html, html } from '../html.ts';
import { paragraph, type Section } from './section.ts';

/** The study note's tables, from the families' modules and configurations. */
export function structureSection({ families }: JobResults): Section {
  const models = families.flatMap(({ family }) => namedPreset(family) ?? []);
  const titles = new Map(families.map(({ family, title }) => [family, title]));
  const korean = tables(models, 'ko');
  const drawn = tables(models, 'en').map((table, i) => drawTable(table, korean[i]!, titles));
  const notes = { en: footnotes(models, 'en'), ko: footnotes(models, 'ko') };
  const list = notes.en.map((en, i) => html`<li>${both({ en, ko: notes.ko[i] ?? en })}</li>`);
  return {
    id: 'structure',
    title: { en: 'What differs', ko: '무엇이 다른가' },
    content: [
      paragraph({
        en: 'Read off the modules that run, not written down: the best-known size stands for each family. The small models trained here have the same parts.',
        ko: '따로 적은 것이 아니라 실행되는 모듈에서 읽은 표입니다. 계열마다 가장 잘 알려진 크기로 나타냈으며, 여기서 학습한 작은 모델들도 같은 부품으로 되어 있습니다.',
      }),
      drawn,
      html`<ul class="notes">${list}</ul>`,
    ],
  };
}

function drawTable(
  english: ComparisonTable,
  korean: ComparisonTable,
  titles: ReadonlyMap<string, string>,
): Html {
  const { models } = english;
  const head = models.map((name) => html`<th scope="col">${titles.get(name) ?? name}</th>`);
  const rows = english.rows.map((row, i) => {
    const other = korean.rows[i]!;
    const cells = models.map(
      (name) => html`<td>${both({ en: row.values[name]!, ko: other.values[name]! })}</td>`,
    );
    return html`<tr><th scope="row">${both({ en: row.feature, ko: other.feature })}</th>${cells}</tr>`;
  });
  return html`<div class="scroll"><table><thead><tr><th scope="col">${both({ en: 'Feature', ko: '특징' })}</th>${head}</tr></thead><tbody>${rows}</tbody></table></div>`;
}
