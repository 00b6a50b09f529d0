import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { README_PAGES, readmePicture, withReadmeTable } from '../scripts/readme-parts.ts';

const at = (path: string) => new URL(`../${path}`, import.meta.url);
const file = (path: string) => readFileSync(at(path), 'utf8');

const pages = [
  ...readdirSync(at('.')).filter((name) => name.endsWith('.md')),
  ...readdirSync(at('docs')).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : [])),
  'bench/README.md',
  'examples/README.md',
  'test/reference/README.md',
];

/** Files that the guides tell a reader to write, and one of llama.cpp's. */
const ELSEWHERE = new Set([
  'src/llama-arch.cpp',
  'src/families/myfamily.ts',
  'src/graph/operators/softsign.ts',
  'src/cli/commands/count.ts',
  'src/training/optimizers/lion.ts',
]);

// Where they are not, "npm run docs:readme" writes them.
describe.each(README_PAGES)('$page', ({ locale, page, picture }) => {
  it('has the block diagrams of the models of today', () => {
    expect(file(picture)).toBe(readmePicture(locale));
    expect(file(page)).toContain(`(${picture})`);
  });

  it('has the table of the models of today', () => {
    const text = file(page);
    expect(text).toBe(withReadmeTable(text, locale));
    expect(text).toContain('| RoPE | RoPE | RoPE |');
    const stale = text.replace('| RoPE | RoPE | RoPE |', '| RoPE | RoPE | NoPE |');
    expect(withReadmeTable(stale, locale)).toBe(text);
  });
});

describe('README.md and README.ko.md', () => {
  it('show the same commands and programs, with as many lines in each block', () => {
    const blocks = (page: string) =>
      [...file(page).matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, kind, code]) => [
        kind,
        code!.split('\n').length,
      ]);
    expect(blocks('README.ko.md')).toEqual(blocks('README.md'));
  });

  it('have the same sections, tables and links to pages', () => {
    const shape = (page: string) => ({
      sections: file(page).match(/^##? /gm)!.length,
      rows: file(page).match(/^\|/gm)!.length,
      figures: [...file(page).matchAll(/^\|.*$/gm)].map(([row]) => row.match(/\d[\d,]*\.?\d*/g)?.sort()),
      links: [...file(page).matchAll(/\]\(([^)]+)\)/g)]
        .map(([, target]) => target!)
        .filter((target) => !/^README|svg$/.test(target)),
    });
    expect(shape('README.ko.md')).toEqual(shape('README.md'));
  });

  it('have at most 120 lines', () => {
    for (const page of ['README.md', 'README.ko.md']) {
      expect(file(page).trimEnd().split('\n').length, page).toBeLessThanOrEqual(120);
    }
  });

  it('cite only figures that bench/ or verify/ recorded', () => {
    const records = [
      file('bench/README.md'),
      ...readdirSync(at('verify'), { withFileTypes: true }).flatMap((entry) =>
        entry.isFile() ? [file(`verify/${entry.name}`)] : [],
      ),
    ].join('\n');
    const speed = file('README.md').split('\n## Speed\n')[1]!.split('\n## ')[0]!;
    const figures = speed.match(/\d+(?:\.\d+)? (?:s|ms|GB)\b|\b\d+ \(\d+\)/g)!;
    expect(figures.length).toBeGreaterThan(15);
    for (const figure of figures) {
      const [number] = figure.split(' ');
      expect(records, figure).toMatch(new RegExp(`\\b${number!.replace('.', '\\.')}\\b`));
    }
  });
});

describe.each(pages)('the page %s', (page) => {
  it('links to pages and sections that exist', () => {
    const links = [...file(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
    for (const link of links.filter((link) => !/^https?:/.test(link))) {
      const [path, section] = link.split('#');
      const target = path === '' ? page : posix.join(dirname(page), path!);
      expect(existsSync(at(target)), link).toBe(true);
      if (section !== undefined) {
        const sections = [...file(target).matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
          title!.toLowerCase().replaceAll(' ', '-'),
        );
        expect(sections, link).toContain(section);
      }
    }
  });

  it('names files of this repository that exist', () => {
    const named = [
      ...file(page).matchAll(/`((?:src|test|verify|bench|docs|examples|scripts|bin)\/[\w./-]*\w)`/g),
    ].map(([, path]) => path!);
    for (const path of named.filter((path) => !ELSEWHERE.has(path))) {
      expect(existsSync(at(path)), path).toBe(true);
    }
  });
});
