import { type ComparisonTable, footnotes, tables } from '../../inspect/compare.ts';
import { blockDiagram } from '../../inspect/diagram.ts';
import type { Locale } from '../../inspect/labels.ts';
import { namedPreset } from '../../inspect/named-model.ts';
import { both, Html, html } from '../html.ts';
import type { JobResults } from '../results.ts';
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
        en: 'Derived from the modules that run. Each family is represented by its best-known size; the small models trained here have the same parts.',
        ko: '따로 적은 것이 아니라 실행되는 모듈에서 읽은 표입니다. 계열마다 가장 잘 알려진 크기로 나타냈으며, 여기서 학습한 작은 모델들도 같은 부품으로 되어 있습니다.',
      }),
      drawn,
      html`<ul class="notes">${list}</ul>`,
    ],
  };
}

/** The blocks of the trained models, aligned so that the differences are visible. */
export function diagramSection({ families }: JobResults): Section {
  const models = families.flatMap(({ family }) => namedPreset(`${family}/tiny`) ?? []);
  // Inside HTML, the namespace is implied, and the page should contain no URL.
  const picture = (locale: Locale) => new Html(blockDiagram(models, locale).replace(/ xmlns="[^"]*"/, ''));
  return {
    id: 'blocks',
    title: { en: 'The same tree, block by block', ko: '블록으로 나란히 보기' },
    content: [
      paragraph({
        en: 'The models trained here, drawn from their modules. Each row has the same role in every model, and colors show what a model added, changed or removed compared with the one to its left. GPT already has two norms per layer: in Gemma they are renamed and replaced, not added.',
        ko: '여기서 학습한 모델들을 모듈에서 그렸습니다. 같은 자리는 같은 역할이며, 색은 왼쪽 모델과 비교해 무엇이 추가되고 바뀌고 없어졌는지 보여 줍니다. GPT에도 층마다 정규화가 이미 둘 있습니다. Gemma에서는 추가된 것이 아니라 이름과 종류가 바뀐 것입니다.',
      }),
      html`<figure class="scroll"><div class="diagram en" lang="en">${picture('en')}</div><div class="diagram ko" lang="ko">${picture('ko')}</div></figure>`,
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
