import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RopewalkError } from '../../errors.ts';
import { localeOf } from '../terminal/locale.ts';
import * as compare from './compare.ts';
import * as inspect from './inspect.ts';

const reference = fileURLToPath(new URL('../../../test/reference/', import.meta.url));
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ropewalk-inspect-'));
});

afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

/** Runs a command line and returns what it wrote on stdout. */
async function run(...args: string[]): Promise<string> {
  let written = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    written += String(chunk);
    return true;
  });
  const program = new Command('ropewalk').exitOverride();
  for (const command of [compare, inspect]) command.register(program);
  await program.parseAsync(['node', 'ropewalk', ...args]);
  return written;
}

describe('ropewalk compare', () => {
  it('labels columns with the names that were typed, in English whatever the locale', async () => {
    const output = await run('compare', 'gpt', 'gemma', 'gemma2', 'llama3', '--json', '--locale', 'ko');
    const { rows, footnotes } = JSON.parse(output) as {
      rows: { feature: string; values: Record<string, string> }[];
      footnotes: string[];
    };
    for (const { values } of rows) expect(Object.keys(values)).toEqual(['gpt', 'gemma', 'gemma2', 'llama3']);
    expect(rows.find(({ feature }) => feature === 'Normalization')!.values).toEqual({
      gpt: 'LayerNorm',
      gemma: 'RMSNorm',
      gemma2: 'RMSNorm',
      llama3: 'RMSNorm',
    });
    expect(output).not.toMatch(/[가-힣]/);
    expect(footnotes.length).toBeGreaterThan(0);
  });

  it('compares directories with presets, with or without weights', async () => {
    const weightless = join(folder, 'config-only');
    const config = JSON.parse(readFileSync(`${reference}gemma/config.json`, 'utf8')) as Record<
      string,
      unknown
    >;
    mkdirSync(weightless);
    writeFileSync(join(weightless, 'config.json'), JSON.stringify(config));
    const { rows } = JSON.parse(
      await run('compare', `${reference}gemma`, weightless, 'gemma/tiny', '--json'),
    ) as {
      rows: { feature: string; values: Record<string, string> }[];
    };
    const parameters = rows.find(({ feature }) => feature === 'Parameters')!.values;
    const expected = JSON.parse(readFileSync(`${reference}gemma/expected.json`, 'utf8')) as {
      parameters: number;
    };
    expect(parameters[weightless]).toBe(expected.parameters.toLocaleString('en-US'));
    expect(parameters[`${reference}gemma`]).toBe(parameters[weightless]);
  });

  it('prints tables that line up, also in Korean', async () => {
    const output = await run('compare', 'gpt', 'gemma2', '--locale', 'ko');
    expect(output).toContain('위치 인코딩');
    const columns = (line: string) =>
      Array.from(line, (c) => (/[가-힣]/.test(c) ? 2 : 1)).reduce((a: number, b) => a + b, 0);
    for (const table of output.split(/\n(?=┌)/).slice(1)) {
      const lines = table.split('\n').filter((line) => /^[┌│├└]/.test(line));
      expect(new Set(lines.map(columns)).size).toBe(1);
    }
  });

  it('writes the block diagram', async () => {
    const file = join(folder, 'blocks.svg');
    await run('compare', 'gpt', 'llama3', '--json', '--diagram', file);
    expect(readFileSync(file, 'utf8')).toMatch(/^<svg /);
  });

  it('reports an unknown name on one line', async () => {
    for (const args of [
      ['compare', 'gpt', 'gema'],
      ['inspect', folder],
      ['diff', 'gpt', join(folder, 'none')],
    ]) {
      const error = await run(...args).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(RopewalkError);
      expect((error as Error).message).not.toContain('\n');
    }
    writeFileSync(join(folder, 'config.json'), '{');
    await expect(run('inspect', folder)).rejects.toThrow(/config\.json: it is not JSON/);
    // What is left out has a default in transformers; what is null has none.
    writeFileSync(join(folder, 'config.json'), '{"model_type": "llama", "hidden_size": null}');
    await expect(run('inspect', folder)).rejects.toThrow(/config\.json: the field "hidden_size" is missing/);
  });
});

describe('ropewalk inspect', () => {
  it('prints the summary as JSON, and the module tree as PyTorch does', async () => {
    const summary = JSON.parse(await run('inspect', 'gemma-2-2b', '--json')) as Record<string, unknown>;
    expect(summary).toMatchObject({ family: 'gemma2', parameters: 2_614_341_888, layers: 26 });
    const tree = readFileSync(`${reference}trees/gemma-2-2b.txt`, 'utf8').trimEnd();
    expect(await run('inspect', 'gemma-2-2b', '--tree')).toBe(`${tree}\n`);
    expect(JSON.parse(await run('inspect', 'gemma-2-2b', '--tree', '--json'))).toEqual({
      tree,
      warnings: [],
    });
    expect(await run('inspect', 'gemma-2-2b', '--locale', 'ko')).toContain('파라미터 수');
  });

  it.each([['diff'], ['inspect', 'diff']])('%s %s prints two trees side by side', async (...command) => {
    const words = command.filter((word) => word !== undefined);
    const { rows } = JSON.parse(await run(...words, 'gpt', 'gemma', '--json')) as {
      rows: { role: string; mark: string }[];
    };
    expect(rows.find(({ role }) => role === 'pre-attention norm')!.mark).toBe('replaced');
    expect(await run(...words, 'gpt', 'gemma', '--locale', 'ko')).toContain('≠ 교체');
  });
});

describe('localeOf', () => {
  it('is Korean when the first variable that is set says so', () => {
    expect(localeOf({ LANG: 'ko_KR.UTF-8' })).toBe('ko');
    expect(localeOf({ LC_ALL: 'C', LANG: 'ko_KR.UTF-8' })).toBe('en');
    expect(localeOf({ LC_ALL: '', LANG: 'ko' })).toBe('ko');
    expect(localeOf({})).toBe('en');
  });
});
