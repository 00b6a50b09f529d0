import type { Row } from '../inspect/compare.ts';
import { both, type Html, html, type Locale, same } from '../report/html.ts';
import { drawPage } from '../report/page.ts';
import { paragraph } from '../report/sections/section.ts';
import type { TextSize } from './costs.ts';
import { costRows, type NamedCosts, textSizeLine, worstRows } from './presentation.ts';

/** Token costs of tokenizers as a self-contained HTML page. */
export function tokenCostsPage(named: readonly NamedCosts[], size: TextSize, locale: Locale): string {
  const words = named.flatMap(({ name, costs }, i) => {
    if (costs.worst.length === 0) return [];
    const { columns, rows } = worstRows(costs.worst);
    return [
      {
        id: `words-${i}`,
        title: { en: `Worst words of ${name}`, ko: `${name}에서 비싼 단어` },
        content: html`${paragraph({
          en: 'The words that would save the most tokens if each were one token.',
          ko: '한 토큰이 되면 토큰을 가장 많이 아끼는 단어.',
        })}${table(columns, rows)}`,
      },
    ];
  });
  const names = named.map(({ name }) => name);
  return drawPage({
    locale,
    title: `Tokens of ${names.join(', ')}`,
    heading: { en: 'The token cost of a text', ko: '글이 쓰는 토큰' },
    lead: html`<p class="lead">${both(same(textSizeLine(size)))}</p>`,
    sections: [
      {
        id: 'costs',
        title: { en: 'Costs', ko: '비용' },
        content: html`${paragraph({
          en: 'A token counts for the script of its first character that is not white space.',
          ko: '토큰은 공백이 아닌 첫 글자의 문자에 속한다.',
        })}${table(names, costRows(named, size))}`,
      },
      ...words,
    ],
  });
}

function table(columns: readonly string[], rows: readonly Row[]): Html {
  const head = columns.map((name) => html`<th scope="col" class="number">${name}</th>`);
  const body = rows.map(
    ({ feature, values }) =>
      html`<tr><th scope="row">${feature}</th>${columns.map((name) => html`<td class="number">${values[name] ?? ''}</td>`)}</tr>`,
  );
  return html`<div class="scroll"><table><thead><tr><td></td>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}
