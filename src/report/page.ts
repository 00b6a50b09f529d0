import { type Bilingual, both, Html, html, type Insertable, type Locale } from './html.ts';
import { drawSection, type Section } from './sections/section.ts';
import { SCRIPT, STYLE } from './style.ts';

export interface Page {
  /** The language shown first; the reader can choose the other. */
  readonly locale: Locale;
  readonly title: string;
  readonly heading: Bilingual;
  readonly lead: Insertable;
  readonly sections: readonly Section[];
}

/** A self-contained HTML page in English and Korean. */
export function drawPage({ locale, title, heading, lead, sections }: Page): string {
  const links = sections.map(({ id, title: name }) => html`<li><a href="#${id}">${both(name)}</a></li>`);
  const page = html`<!doctype html>
<html lang="${locale}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="ropewalk">
<title>${title}</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
${languageChoice(locale)}
<header><h1>${both(heading)}</h1>
${lead}
</header>
<nav aria-label="Contents / 차례"><ol>${links}</ol></nav>
<main>${sections.map(drawSection)}</main>
<script>${new Html(SCRIPT)}</script>
</body>
</html>
`;
  return page.markup;
}

function languageChoice(locale: Locale): Html {
  const option = (value: Locale, name: string) =>
    html`<label lang="${value}"><input type="radio" name="language" id="language-${value}" value="${value}"${value === locale ? html` checked` : ''}>${name}</label>`;
  return html`<fieldset><legend>${both({ en: 'Language', ko: '언어' })}</legend>${option('en', 'English')}${option('ko', '한국어')}</fieldset>`;
}
