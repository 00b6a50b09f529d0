import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, ropewalk } from './helpers/cli.node.ts';
import { baseModel } from './helpers/finetune-run.node.ts';
import { HAS_MPI, isRunning, LAUNCHERS, mpirun, mpirunBy, ranksOf } from './helpers/ranks.node.ts';
import { until } from './helpers/work.node.ts';

/** Evaluation by several processes: the results are those of one process, byte for byte. */

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-ranks-evaluate-'));
const at = (name: string) => join(folder, name);
const MODEL = join(ROOT, 'test/fixtures/stories260K');
const TASKS = join(ROOT, 'test/reference/evaluate/tasks');
const DATA = ['--data', `local/stories=${join(ROOT, 'test/reference/evaluate/data')}`];
const tasks = (...names: string[]) => names.flatMap((name) => ['--task', join(TASKS, `${name}.yaml`)]);

beforeAll(() => {
  baseModel(at('other-model'));
  // Many rows behind the same words, so that portions begin alike.
  mkdirSync(at('rows'));
  const words = ['the', 'hen', 'ran', 'on', 'sand', 'in', 'a', 'hat'];
  const text = (i: number) =>
    Array.from({ length: 9 }, (_, k) => words[(i * 7 + k * k * (i % 5)) % 8]).join(' ');
  const rows = Array.from({ length: 300 }, (_, i) => ({
    text: text(i),
    choices: [' hen', ' ran and ran', ' sand'],
  }));
  writeFileSync(at('rows/test.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  writeFileSync(
    at('many.yaml'),
    `task: many\ndataset_path: local/rows\noutput_type: multiple_choice\ntest_split: test\ndescription: "${'Once upon a time there was a hen in the sand. '.repeat(8)}"\ndoc_to_text: "{{text}}"\ndoc_to_choice: choices\ndoc_to_target: 1\nmetric_list: [{metric: acc}, {metric: acc_norm}]\n`,
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** All files of a folder. */
const filesIn = (name: string) =>
  Object.fromEntries(
    (readdirSync(at(name), { recursive: true, withFileTypes: true }) as import('node:fs').Dirent[])
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [path.slice(at(name).length), readFileSync(path, 'utf8')]),
  );
const many = (out: string) => [
  ...['evaluate', MODEL, '--task', at('many.yaml'), '--data', `local/rows=${at('rows')}`],
  ...['--batch', '8', '--out', at(out)],
];

describe.skipIf(!HAS_MPI)('evaluation by several processes', () => {
  it.each(LAUNCHERS)('writes what one process writes: $name', async (launcher) => {
    const args = [
      ...['evaluate', MODEL, ...tasks('choice', 'generate', 'rolling', 'drawn_shots'), ...DATA],
      ...['--batch', '2', '--json'],
    ];
    const name = launcher.command;
    const one = await ropewalk([...args, '--out', at(`${name}-1`)]);
    expect(one.code, one.stderr).toBe(0);
    for (const ranks of [2, 3]) {
      const out = `${name}-${ranks}`;
      const { code, stdout, stderr } = await (await mpirunBy(launcher, ranks, [...args, '--out', at(out)]))
        .finished;
      expect(code, stderr).toBe(0);
      expect(stdout).toBe(one.stdout);
      expect(filesIn(out)).toEqual(filesIn(`${name}-1`));
    }
  });

  it('compares two models, and portions of long shared beginnings, as one process does', async () => {
    const args = [
      ...[
        'evaluate',
        MODEL,
        at('other-model'),
        '--task',
        at('many.yaml'),
        '--data',
        `local/rows=${at('rows')}`,
      ],
      ...['--limit', '60', '--batch', '4', '--locale', 'en'],
    ];
    const one = await ropewalk([...args, '--out', at('two-1')]);
    expect(one.code, one.stderr).toBe(0);
    const three = await (await mpirun(3, [...args, '--out', at('two-3')])).finished;
    expect(three.code, three.stderr).toBe(0);
    expect(three.stdout).toBe(one.stdout);
    expect(filesIn('two-3')).toEqual(filesIn('two-1'));
  });

  it('resumes where a killed one ended, as one process does', async () => {
    const whole = await ropewalk(many('whole'));
    expect(whole.code, whole.stderr).toBe(0);
    const answers = at('killed/answers.jsonl');
    const running = await mpirun(2, many('killed'));
    await until(
      () => (statSync(answers, { throwIfNoEntry: false })?.size ?? 0) > 3000,
      'answers are written',
    );
    const pids = ranksOf(running);
    process.kill(pids[1]!, 'SIGKILL');
    expect((await running.finished).code).not.toBe(0);
    await until(() => !pids.some(isRunning), 'all ranks are gone');
    expect(readdirSync(at('killed'))).toEqual(['answers.jsonl']);
    const kept = readFileSync(answers, 'utf8');
    expect(
      readFileSync(at('whole/answers.jsonl'), 'utf8').startsWith(kept.slice(0, kept.lastIndexOf('\n'))),
    ).toBe(true);
    cpSync(at('killed'), at('killed-alone'), { recursive: true });
    const alone = await ropewalk(many('killed-alone'));
    const resumed = await (await mpirun(3, many('killed'))).finished;
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stderr).toMatch(/resuming after [1-9]\d* answers/);
    expect(resumed.stdout).toBe(alone.stdout);
    expect(filesIn('killed')).toEqual(filesIn('killed-alone'));
  });

  it('stops together when one of them is interrupted, and resumes', async () => {
    const answers = at('interrupted/answers.jsonl');
    const running = await mpirun(2, many('interrupted'));
    await until(
      () => (statSync(answers, { throwIfNoEntry: false })?.size ?? 0) > 3000,
      'answers are written',
    );
    process.kill(ranksOf(running)[1]!, 'SIGINT');
    const { code, stderr } = await running.finished;
    expect(code).toBe(130);
    expect(stderr).toContain('interrupted; the same command resumes');
    const resumed = await ropewalk(many('interrupted'));
    expect(resumed.stderr).toMatch(/resuming after [1-9]\d* answers/);
    expect(resumed.code).toBe(0);
  });

  it('refuses to start where they differ', async () => {
    const base = ['evaluate', MODEL, ...tasks('choice'), ...DATA];
    const limits = await (await mpirun(2, [...base, '--limit', '2'], [...base, '--limit', '3'])).finished;
    expect(limits.code).toBe(1);
    expect(limits.stderr).toContain('the ranks differ: "limit" is 2 on rank 0, but 3 on rank 1');
    const models = await (await mpirun(2, base, ['evaluate', at('other-model'), ...tasks('choice'), ...DATA]))
      .finished;
    expect(models.stderr).toMatch(/the ranks differ: "before" is/);
    const missing = await (await mpirun(2, base, [...base, '--data', 'local/stories=/nowhere'])).finished;
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(/the ranks differ: "data" is/);
  });
});
