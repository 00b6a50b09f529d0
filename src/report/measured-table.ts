import { both, type Html, html } from './html.ts';
import { measuredRows } from './measured.ts';
import type { JobResults } from './results.ts';

/** The measurements, with one column per family. */
export function measuredTable(results: JobResults): Html {
  const head = results.families.map(({ title }) => html`<th scope="col" class="number">${title}</th>`);
  const rows = measuredRows(results).map(
    ({ name, values }) =>
      html`<tr><th scope="row">${both(name)}</th>${values.map((value) => html`<td class="number">${value}</td>`)}</tr>`,
  );
  return html`<div class="scroll"><table><thead><tr><th scope="col">${both({ en: 'Measured', ko: '측정값' })}</th>${head}</tr></thead><tbody>${rows}</tbody></table></div>`;
}
