import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../src/random.ts';
import { buildProgram, ropewalk } from './helpers/cli.node.ts';
import { baseModel } from './helpers/finetune-run.node.ts';
import { HAS_MPI, isRunning, LAUNCHERS, mpirun, mpirunBy, ranksOf } from './helpers/ranks.node.ts';
import { until } from './helpers/work.node.ts';

/** Commands that deal rows out to the ranks of an MPI job: their results are those of one process, byte for byte. */

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-ranks-rows-'));
const at = (name: string) => join(folder, name);
const model = at('model');

beforeAll(() => {
  baseModel(model);
  const random = new Random(2);
  const word = () => ['the', 'hen', 'ran', 'on', 'and', 'sand', 'in', 'a'][random.nextInt(8)]!;
  writeFileSync(at('text.txt'), `${Array.from({ length: 900 }, word).join(' ')}.`);
  writeFileSync(at('other.txt'), `${Array.from({ length: 900 }, word).join(' ')}.`);
  writeFileSync(at('long.txt'), `${Array.from({ length: 15_000 }, word).join(' ')}.`);
  const prompts = Array.from({ length: 23 }, (_, i) => ({
    prompt: Array.from({ length: 1 + (i % 5) }, word).join(' '),
  }));
  writeFileSync(at('prompts.jsonl'), prompts.map((row) => JSON.stringify(row)).join('\n'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const teach = (out: string, text = 'text.txt') => [
  ...['teach', model, '--text', at(text), '--out', at(out), '--k', '6', '--seq', '16', '--batch', '2'],
];
const taught = (name: string) => readFileSync(at(name));
/** It may be renamed at any time. */
const bytesOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

describe.skipIf(!HAS_MPI)('rows dealt out to several processes', () => {
  it.each(LAUNCHERS)('give the file that one process writes: teach by $name', async (launcher) => {
    const name = launcher.command;
    // On as many threads as there are: the bits do not depend on them.
    const one = await ropewalk([...teach(`${name}-one`), '--json']);
    expect(one.code, one.stderr).toBe(0);
    for (const ranks of [2, 3]) {
      const out = `${name}-${ranks}`;
      const { code, stderr, stdout } = await (await mpirunBy(launcher, ranks, [...teach(out), '--json']))
        .finished;
      expect(code, stderr).toBe(0);
      expect(taught(out).equals(taught(`${name}-one`))).toBe(true);
      const { seconds: _, out: __, ...said } = JSON.parse(one.stdout) as Record<string, unknown>;
      expect(JSON.parse(stdout)).toMatchObject(said);
    }
  });

  it('continue where a killed one ended, with any number of processes', async () => {
    const whole = await ropewalk(teach('whole', 'long.txt'));
    expect(whole.code, whole.stderr).toBe(0);
    const partial = at('.killed.teaching');
    const running = await mpirun(2, teach('killed', 'long.txt'));
    await until(() => bytesOf(partial) > 50_000, 'rows are written');
    const pids = ranksOf(running);
    process.kill(pids[1]!, 'SIGKILL');
    expect((await running.finished).code).not.toBe(0);
    await until(() => !pids.some(isRunning), 'all ranks are gone');
    expect(existsSync(at('killed')), 'the whole file').toBe(false);
    const resumed = await (await mpirun(3, teach('killed', 'long.txt'))).finished;
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stderr).toMatch(/resumed after row [1-9]/);
    expect(taught('killed').equals(taught('whole'))).toBe(true);
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('stop together when one of them is interrupted, and continue', async () => {
    const running = await mpirun(2, teach('interrupted', 'long.txt'));
    const partial = at('.interrupted.teaching');
    await until(() => bytesOf(partial) > 50_000, 'rows are written');
    process.kill(ranksOf(running)[1]!, 'SIGINT');
    const { code, stderr } = await running.finished;
    expect(code).toBe(130);
    expect(stderr).toContain('interrupted; resume with the same command');
    const resumed = await ropewalk(teach('interrupted', 'long.txt'));
    expect(resumed.stderr).toMatch(/resumed after row [1-9]/);
    expect(taught('interrupted').equals(taught('whole'))).toBe(true);
  });

  it('give the score of one process: score', async () => {
    const score = ['score', model, '--text', at('text.txt'), '--window', '32', '--json'];
    const one = await ropewalk(score);
    expect(one.code, one.stderr).toBe(0);
    const several = await (await mpirun(3, score)).finished;
    expect(several.code, several.stderr).toBe(0);
    expect(several.stdout).toBe(one.stdout);
    const logits = await (await mpirun(2, [...score, '--logits', at('x.npy')])).finished;
    expect(logits.stderr).toContain(
      'logits and gradients are those of one window, which one process computes; start it alone.',
    );
    expect(existsSync(at('x.npy'))).toBe(false);
  });

  it.each(LAUNCHERS)('give the texts of one process: generate by $name', async (launcher) => {
    const generate = [
      'generate',
      model,
      '--prompts',
      at('prompts.jsonl'),
      '--max-tokens',
      '12',
      '--seed',
      '3',
    ];
    const batched = [...generate, '--batch', '2'];
    const one = await ropewalk([...batched, '--out', at('one.jsonl')]);
    expect(one.code, one.stderr).toBe(0);
    expect(one.stdout).toBe('');
    const lines = readFileSync(at('one.jsonl'), 'utf8');
    const printed = await (await mpirunBy(launcher, 2, batched)).finished;
    expect(printed.code, printed.stderr).toBe(0);
    expect(printed.stdout).toBe(lines);
    const out = at(`${launcher.command}.jsonl`);
    const three = await (await mpirunBy(launcher, 3, [...batched, '--out', out])).finished;
    expect(three.code, three.stderr).toBe(0);
    expect(three.stdout).toBe('');
    expect(readFileSync(out, 'utf8')).toBe(lines);
    const seeds = await (await mpirunBy(launcher, 2, generate, [...generate, '--seed', '4'])).finished;
    expect(seeds.code).toBe(1);
    expect(seeds.stderr).toContain('the ranks differ: "seed" is 3 on rank 0, but 4 on rank 1');
    const single = await (await mpirunBy(launcher, 2, ['generate', model, '--prompt', 'a'])).finished;
    expect(single.code).toBe(1);
    expect(single.stderr).toContain(
      'generate continues one text in one process; give many with --prompts FILE',
    );
  });

  it('refuse to start where they differ', async () => {
    const texts = await (await mpirun(2, teach('differ'), teach('differ', 'other.txt'))).finished;
    expect(texts.code).toBe(1);
    expect(texts.stderr).toMatch(/the ranks differ: "data" is "\w+" on rank 0, but "\w+" on rank 1/);
    const options = await (await mpirun(2, teach('differ'), [...teach('differ'), '--seed', '9'])).finished;
    expect(options.stderr).toContain('the ranks differ: "seed" is 0 on rank 0, but 9 on rank 1');
    const window = (size: string) => ['score', model, '--text', at('text.txt'), '--window', size];
    const windows = await (await mpirun(2, window('32'), window('16'))).finished;
    expect(windows.stderr).toContain('the ranks differ: "window" is 32 on rank 0, but 16 on rank 1');
    const program = await buildProgram('bin/ropewalk.js', {
      as: 'of-another-version',
      plugin: {
        name: 'another version',
        setup: ({ onLoad }) =>
          onLoad({ filter: /package-file\.ts$/ }, () => ({
            contents: "export const packageVersion = () => '0.0.9'; export const PACKAGE_FILE = '';",
          })),
      },
    });
    const versions = await (
      await mpirunBy({ ...LAUNCHERS[0]!, programs: [undefined, program] }, 2, window('32'), window('32'))
    ).finished;
    expect(versions.code).toBe(1);
    expect(versions.stderr).toMatch(
      /the ranks differ: "version of Ropewalk" is "[\d.]+" on rank 0, but "0\.0\.9" on rank 1\. Give every rank the same command, files and version\./,
    );
    const missing = await (await mpirun(2, teach('differ'), teach('differ', 'none.txt'))).finished;
    expect(missing.stderr).toMatch(/rank 1 of 2: .*none\.txt/);
    expect(existsSync(at('differ'))).toBe(false);
  });
});
