import type { Bilingual, Locale } from '../inspect/labels.ts';
import { escapeXml as escapeHtml } from '../inspect/svg-text.ts';

export type { Bilingual, Locale };

/** Safe markup: everything inserted into it has been escaped. */
export class Html {
  constructor(readonly markup: string) {}

  toString(): string {
    return this.markup;
  }
}

export type Insertable = Html | string | number | readonly Insertable[] | null | undefined | false;

/** Text as content or attribute value: HTML and SVG escape alike. */
export { escapeHtml };

/** A template whose insertions are escaped unless they are already markup. */
export function html(strings: TemplateStringsArray, ...values: readonly Insertable[]): Html {
  let markup = strings[0]!;
  values.forEach((value, i) => {
    markup += render(value) + strings[i + 1]!;
  });
  return new Html(markup);
}

function render(value: Insertable): string {
  if (value === null || value === undefined || value === false) return '';
  if (value instanceof Html) return value.markup;
  if (typeof value === 'string' || typeof value === 'number') return escapeHtml(String(value));
  return value.map(render).join('');
}

/** Text in both languages; the style sheet shows one of them. */
export function both(text: Bilingual): Html {
  return html`<span class="en" lang="en">${text.en}</span><span class="ko" lang="ko">${text.ko}</span>`;
}

/** The same within an SVG picture. `attributes` apply to each text element, in addition to class and language. */
export function bothSvg(text: Bilingual, className: string, attributes: Html): Html {
  if (text.en === text.ko) return html`<text class="${className}" ${attributes}>${text.en}</text>`;
  return html`<text class="${className} en" lang="en" ${attributes}>${text.en}</text><text class="${className} ko" lang="ko" ${attributes}>${text.ko}</text>`;
}

/** A text that is the same in both languages: names, numbers. */
export function same(text: string): Bilingual {
  return { en: text, ko: text };
}
