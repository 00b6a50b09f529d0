import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTokenizer } from '../src/checkpoint/tokenizer.node.ts';
import { ropewalk } from './helpers/cli.node.ts';
import { saveUntrained, scratch } from './helpers/models.node.ts';

const { folder, remove } = scratch('vocabulary-cli');
afterAll(remove);
const file = (name: string) => join(folder, name);
const model = file('model');
const korean = file('korean.txt');
const TEXT = '옛날 옛적에 나무꾼이 살았습니다.\n나무꾼은 숲에서 사슴을 만났습니다.\n'.repeat(20);

beforeAll(async () => {
  await saveUntrained(model);
  writeFileSync(korean, TEXT);
});

const done = async (...args: string[]) => {
  const finished = await ropewalk(['tokenizer', ...args]);
  expect(finished.stderr + finished.stdout).not.toContain('undefined');
  expect(finished.code, finished.stderr).toBe(0);
  return finished;
};

const refused = async (...args: string[]) => {
  const { code, stderr, stdout } = await ropewalk(['tokenizer', ...args]);
  expect([code, stdout]).toEqual([1, '']);
  return stderr;
};

describe('ropewalk tokenizer report', () => {
  it('counts tokens as the tokenizer writes them, with and without the page', async () => {
    const page = file('report.html');
    const { stdout } = await done(
      'report',
      model,
      '--text',
      korean,
      '--json',
      '--words',
      '3',
      '--html',
      page,
    );
    const { text, models } = JSON.parse(stdout);
    const { length } = (await openTokenizer(model)).encode(TEXT, { addSpecialTokens: false });
    expect(models[0]).toMatchObject({ name: model, vocabSize: 300, tokens: length });
    expect(text.characters).toBe([...TEXT].length);
    expect(models[0].worst).toHaveLength(3);
    expect(readFileSync(page, 'utf8')).toContain(length.toLocaleString('en'));
  });

  it('shows several models side by side, and reads folders', async () => {
    const { stdout } = await done('report', model, join(model, 'tokenizer.json'), '--text', folder);
    expect(stdout).toMatch(/Tokens per Hangul syllable +│ \d\.\d{3} +│ \d\.\d{3}/);
    expect(stdout).toContain('나무꾼은');
  });

  it('says what is missing', async () => {
    expect(await refused('report', model, '--text', file('none.txt'))).toContain('there is no such file');
    expect(await refused('report', model, model, '--text', korean)).toContain('is named twice');
    expect(await refused('report', file('none'), '--text', korean)).toContain(file('none'));
  });
});

describe('ropewalk tokenizer extend', () => {
  it('writes a model that generates, and prints what it gains', async () => {
    const out = file('extended');
    const { stdout } = await done('extend', model, '--text', korean, '--add', '40', '--out', out);
    expect(stdout).toContain('40 new tokens with the ids 300 to 339; the vocabulary has 340 instead of 300');
    const [, before, after] = /syllable: ([\d.]+) before, ([\d.]+) now/.exec(stdout)!;
    expect(Number(after)).toBeLessThan(0.5 * Number(before));
    expect(stdout).toMatch(/loss per byte, before any training: [\d.]+ nats before, [\d.]+ now/);
    const generated = await ropewalk(['generate', out, '--prompt', '나무꾼', '--max-tokens', '3']);
    expect(generated.code, generated.stderr).toBe(0);
  });

  it('leaves the loss of before to score --no-new-tokens, to the last digit', async () => {
    const out = file('scored');
    await done('extend', model, '--text', korean, '--add', '20', '--out', out, '--no-loss');
    const score = async (...args: string[]) => {
      const { code, stdout, stderr } = await ropewalk(['score', ...args, '--text', korean, '--json']);
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout);
    };
    expect(await score(out, '--no-new-tokens')).toEqual(await score(model));
    const { code, stderr } = await ropewalk(['score', model, '--text', korean, '--no-new-tokens']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('no record of new tokens')]);
  });

  it('learns from all of the text without --validation, keeps the ids of --keep, and prints JSON', async () => {
    const english = file('english.md');
    writeFileSync(english, '나무꾼은 ropes');
    const out = file('kept');
    const options = ['--validation', '0', '--keep', english, '--init', 'noise', '--no-loss', '--json'];
    const { stdout } = await done('extend', model, '--text', korean, '--add', '9', '--out', out, ...options);
    const { costs, loss, ...rest } = JSON.parse(stdout);
    expect(rest).toMatchObject({ out, first: 300, count: 9, vocabSize: { before: 300, after: 309 } });
    expect([costs.heldOut, costs.size.characters, loss]).toEqual([false, [...TEXT].length, undefined]);
    const [before, after] = [await openTokenizer(model), await openTokenizer(out)];
    expect(after.encode('나무꾼은 ropes')).toEqual(before.encode('나무꾼은 ropes'));
  });

  it('says what the text offers, and leaves nothing behind', async () => {
    const out = file('nothing');
    const extend = (...args: string[]) => refused('extend', model, '--out', out, ...args);
    expect(await extend('--text', korean, '--add', '9999')).toMatch(/the text offers \d+ new tokens/);
    expect(await extend('--text', korean, '--add', '0')).toContain('a whole number of at least 1');
    expect(await extend('--text', korean, '--add', '9', '--validation', '1')).toContain('--validation');
    expect(existsSync(out)).toBe(false);
    expect(await refused('extend', model, '--text', korean, '--add', '9', '--out', model)).toContain(
      'choose a new folder',
    );
  });
});
