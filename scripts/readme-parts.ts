import { tables } from '../src/inspect/compare.ts';
import { blockDiagram } from '../src/inspect/diagram.ts';
import { type Locale, tableTitles } from '../src/inspect/labels.ts';
import { namedPreset } from '../src/inspect/named-model.ts';

/*
 * The parts of the READMEs that are generated from the models: `npm run docs:readme` writes them, and
 * test/docs.test.ts checks them.
 */

export interface ReadmePage {
  readonly locale: Locale;
  readonly page: string;
  readonly picture: string;
}

export const README_PAGES: readonly ReadmePage[] = [
  { locale: 'en', page: 'README.md', picture: 'docs/families.svg' },
  { locale: 'ko', page: 'README.ko.md', picture: 'docs/families.ko.svg' },
];

const models = ['gpt', 'gemma', 'gemma2', 'llama3'].map((name) => namedPreset(name)!);
const [BEGIN, END] = ['<!-- written by npm run docs:readme -->', '<!-- end -->'];

/** The block diagrams. */
export function readmePicture(locale: Locale): string {
  return blockDiagram(models, locale);
}

/** The page with the generated table between its marks. @throws Error for a page without the marks. */
export function withReadmeTable(page: string, locale: Locale): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`the page has no lines ${BEGIN} and ${END}`);
  return `${page.slice(0, from)}${BEGIN}\n${markdownTable(locale)}\n${page.slice(to)}`;
}

/** The features in which the families differ. */
function markdownTable(locale: Locale): string {
  const { models: names, rows } = tables(models, locale)[0]!;
  const titles = names.map((name) => models.find((model) => model.name === name)!.family.title);
  const lines = [
    [tableTitles.feature[locale], ...titles],
    ['---', ...titles.map(() => '---')],
    ...rows
      .map(({ feature, values }) => [feature, ...names.map((name) => values[name]!)])
      .filter(([, ...values]) => new Set(values).size > 1),
  ];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
