import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { blockDiagram } from '../src/inspect/diagram.ts';
import { namedPreset } from '../src/inspect/named-model.ts';

const file = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

describe('the pictures in the README', () => {
  // Drawn by: ropewalk compare gpt gemma gemma2 llama3 --diagram docs/families.svg (--locale ko for the other).
  it.each([
    ['en', 'docs/families.svg', 'README.md'],
    ['ko', 'docs/families.ko.svg', 'README.ko.md'],
  ] as const)('are what the models draw today (%s)', (locale, picture, page) => {
    const models = ['gpt', 'gemma', 'gemma2', 'llama3'].map((name) => namedPreset(name)!);
    expect(file(picture)).toBe(blockDiagram(models, locale));
    expect(file(page)).toContain(`(${picture})`);
  });

  it('stand beside the same text in both languages: the same commands, and numbers of lines in each block', () => {
    const blocks = (page: string) =>
      [...file(page).matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, kind, code]) => [
        kind,
        code!.split('\n').length,
      ]);
    expect(blocks('README.ko.md')).toEqual(blocks('README.md'));
  });
});
