import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readPromptRows } from './prompt-rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-prompts-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function rowsOf(name: string, text: string) {
  writeFileSync(join(folder, name), text);
  return readPromptRows(join(folder, name));
}

describe('the rows of --prompts', () => {
  it('are those of a data file with prompts or ids, or the lines of a text', async () => {
    const prompts = async (name: string, text: string) =>
      (await rowsOf(name, text)).map(({ prompt }) => prompt);
    expect(await prompts('a.jsonl', '{"prompt": "a", "id": 7}\n\n{"ids": [3, 0]}\n')).toEqual(['a', [3, 0]]);
    expect(await prompts('a.json', '[{"prompt": ""}]')).toEqual(['']);
    expect(await prompts('a.csv', 'id,prompt\n1,"a ""b"", c"\n')).toEqual(['a "b", c']);
    expect(await prompts('a.txt', 'one\r\n two \n\n{"prompt": "x"}')).toEqual([
      'one',
      ' two ',
      '{"prompt": "x"}',
    ]);
  });

  it.each([
    ['{"prompt": "a"}\n{"text": "b"}', /b\.jsonl:2: a row needs one of the fields "prompt"/],
    ['{"prompt": "a", "ids": [1]}', /b\.jsonl:1: a row needs one of/],
    ['{"prompt": 3}', /b\.jsonl:1: "prompt" must be a text/],
    ['{"ids": []}', /b\.jsonl:1: "ids" must be a list of at least one token id/],
    ['{"ids": [1, -2]}', /b\.jsonl:1: "ids" must be a list/],
    ['{"prompt": "a"', /b\.jsonl:1: not valid JSON/],
    ['\n', /b\.jsonl: it has no rows/],
  ])('refuse %j', async (text, message) => {
    await expect(rowsOf('b.jsonl', text)).rejects.toThrow(message);
  });
});
