import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { evaluatePath } from '../src/evaluate/evaluate-path.node.ts';
import { selectTasks } from '../src/evaluate/tasks/select.node.ts';
import { ROOT, ropewalk } from './helpers/cli.node.ts';
import { COMMIT, startHub } from './helpers/hub.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-evaluate-cli-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const MODEL = join(ROOT, 'test/fixtures/stories260K');
const TASKS = join(ROOT, 'test/reference/evaluate/tasks');
const DATA = ['--data', `local/stories=${join(ROOT, 'test/reference/evaluate/data')}`];
const task = (name: string) => ['--task', join(TASKS, `${name}.yaml`)];
const lines = (path: string) => readFileSync(path, 'utf8').trimEnd().split('\n');

describe('ropewalk evaluate', () => {
  it('prints results as a table and as JSON, and writes answers, items and a page', async () => {
    const out = join(folder, 'one');
    const args = [
      'evaluate',
      MODEL,
      ...task('choice_list'),
      ...task('generate'),
      ...DATA,
      '--limit',
      '4',
      '--out',
      out,
    ];
    const { code, stdout, stderr } = await ropewalk([...args, '--locale', 'en']);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/choice_list.*4.*acc ↑/);
    const again = await ropewalk([...args, '--json']);
    expect(again.stderr).toContain('resuming after 20 answers');
    const { tasks } = JSON.parse(again.stdout) as { tasks: { task: string; items: number }[] };
    expect(tasks.map(({ task: name, items }) => [name, items])).toEqual([
      ['choice_list', 4],
      ['generate', 4],
    ]);
    expect(readdirSync(out).sort()).toEqual([
      ...['answers.jsonl', 'choice_list.jsonl', 'generate.jsonl', 'report.html', 'results.json'],
    ]);
    expect(lines(join(out, 'choice_list.jsonl'))).toHaveLength(4);
    expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain('choice_list');
  });

  it('resumes after a kill in the middle of a line, with the same results', async () => {
    const [whole, killed] = [join(folder, 'whole'), join(folder, 'killed')];
    const run = (out: string) =>
      ropewalk(['evaluate', MODEL, ...task('choice'), ...DATA, '--limit', '3', '--out', out]);
    await run(whole);
    await run(killed);
    const kept = lines(join(killed, 'answers.jsonl')).slice(0, 7);
    writeFileSync(join(killed, 'answers.jsonl'), `${kept.join('\n')}\n`);
    appendFileSync(join(killed, 'answers.jsonl'), '{"key":"half of a li');
    rmSync(join(killed, 'results.json'));
    const { code, stderr } = await run(killed);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('resuming after 6 answers');
    const results = (out: string) => JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as object;
    expect(results(killed)).toEqual(results(whole));
    expect(lines(join(killed, 'answers.jsonl'))).toHaveLength(lines(join(whole, 'answers.jsonl')).length);
  });

  it('refuses answers of another model', async () => {
    const out = join(folder, 'other');
    const args = ['evaluate', MODEL, ...task('choice'), ...DATA, '--limit', '1', '--out', out];
    await ropewalk(args);
    const { code, stderr } = await ropewalk([...args, '--quantize', 'int4', '--block', '32']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/answers\.jsonl: it has the answers of another model/);
  });

  it('compares two models item by item', async () => {
    const out = join(folder, 'two');
    const { code, stdout, stderr } = await ropewalk([
      ...[
        'evaluate',
        MODEL,
        MODEL,
        ...task('choice_target_list'),
        ...DATA,
        '--limit',
        '5',
        '--out',
        out,
        '--locale',
        'en',
      ],
    ]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/Before.*After.*Difference/);
    const { comparisons } = JSON.parse(readFileSync(join(out, 'comparison.json'), 'utf8')) as {
      comparisons: { difference: number; p: number; won: number[]; lost: number[] }[];
    };
    expect(comparisons).toHaveLength(3);
    for (const one of comparisons) expect(one).toMatchObject({ difference: 0, p: 1, won: [], lost: [] });
    expect(readdirSync(out).sort()).toEqual(['after', 'before', 'comparison.json', 'report.html']);
  });

  it.each([
    [['--task', 'no-such.yaml'], /"no-such\.yaml": no such file/],
    [[...task('choice'), '--data', 'nonsense'], /'--data <name=path>' argument 'nonsense'/],
    [
      [...task('choice'), '--data', 'local/stories=/nowhere'],
      /task "choice".*\/nowhere: no such file or folder/,
    ],
    [[...task('choice'), ...DATA, '--single-turn'], /--single-turn needs --chat/],
    [[...task('choice'), ...DATA, '--chat'], /no chat template/],
  ])('refuses %j', async (args, message) => {
    const { code, stdout, stderr } = await ropewalk(['evaluate', MODEL, ...args]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
  });
});

describe('data sets of the hub', () => {
  it('are read from their Parquet copy: the subset and the split that a task names', async () => {
    const rows = readFileSync(join(ROOT, 'test/reference/data/pairs-none.parquet'));
    const hub = await startHub({
      'datasets/acme/pairs': {
        commit: COMMIT,
        revisions: ['refs/convert/parquet'],
        files: { 'small/test/0000.parquet': rows, 'large/test/0000.parquet': Buffer.from('not this one') },
      },
    });
    try {
      const file = join(folder, 'pairs.yaml');
      const of = (fields: string) =>
        `task: pairs\ndataset_path: acme/pairs\noutput_type: loglikelihood\ndoc_to_text: "Q:"\ndoc_to_target: "{{prompt}}"\nmetric_list: [{metric: acc}]\n${fields}`;
      writeFileSync(file, of('dataset_name: small\ntest_split: test\n'));
      const options = {
        threads: 1,
        bootstrap: 0,
        hub: { endpoint: hub.endpoint, cache: join(folder, 'hub'), offline: false },
      };
      const { tasks } = await evaluatePath(MODEL, await selectTasks([file]), options);
      expect(tasks[0]!.items.map(({ doc }) => doc)).toMatchObject(
        [0, 1, 2, 3, 4].map((i) => ({ prompt: `What comes after ${i}?` })),
      );
      expect(hub.requests.some(({ url }) => url.includes('refs%2Fconvert%2Fparquet'))).toBe(true);
      expect(hub.requests.some(({ url }) => url.includes('large'))).toBe(false);
      // Again, from the cache and without a network.
      const asked = hub.requests.length;
      await evaluatePath(MODEL, await selectTasks([file]), {
        ...options,
        hub: { ...options.hub, offline: true },
      });
      expect(hub.requests.length).toBe(asked);
      writeFileSync(file, of('dataset_name: small\ntest_split: validation\n'));
      await expect(evaluatePath(MODEL, await selectTasks([file]), options)).rejects.toThrow(
        /task "pairs": the split "validation" of the data set acme\/pairs \(small\/validation of its Parquet copy\)/,
      );
    } finally {
      await hub.close();
    }
  });
});
