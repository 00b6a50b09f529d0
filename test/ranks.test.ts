import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../src/random.ts';
import { buildProgram, start } from './helpers/cli.node.ts';
import { baseModel, chats } from './helpers/finetune-run.node.ts';
import { HAS_MPI, isRunning, LAUNCHERS, mpirun, mpirunBy, ranksOf } from './helpers/ranks.node.ts';
import { expectSameRun, metricsOf } from './helpers/run-metrics.node.ts';
import { until } from './helpers/work.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-ranks-'));
const text = join(folder, 'book.txt');
const other = join(folder, 'other.txt');
let count = 0;
const place = () => join(folder, `run${count++}`);

beforeAll(() => {
  const random = new Random(3);
  const words = ['rope', 'walk', 'of', 'the', 'a', 'hemp', 'sea', 'spun', 'long', 'and'];
  const written = Array.from({ length: 6000 }, () => words[random.nextInt(words.length)]).join(' ');
  writeFileSync(text, written);
  writeFileSync(other, written.replaceAll('hemp', 'flax'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const STEPS = 8;
const train = (out: string, more: readonly string[] = [], from = text) => [
  ...['train', '--family', 'llama', '--text', from, '--out', out, '--vocab-size', '300', '--seq', '24'],
  ...['--batch', '4', '--steps', String(STEPS), '--eval-every', '3', '--save-every', '2', '--seed', '5'],
  ...['--threads', '1', ...more],
];

async function alone(args: readonly string[]): Promise<void> {
  const { code, stderr } = await start(await buildProgram('bin/ropewalk.js'), args).finished;
  expect(code, stderr).toBe(0);
}

async function inRanks(ranks: number, ...commands: readonly (readonly string[])[]) {
  return (await mpirun(ranks, ...commands)).finished;
}

const model = (run: string) => readFileSync(join(run, 'model.safetensors'));

describe.skipIf(!HAS_MPI)('several processes that train together over MPI', () => {
  it.each([
    ['the whole graph at once, on 2 ranks', 2, []],
    [
      'with gradients added up over micro-batches, on 3 ranks',
      3,
      ['--accumulate', '3', '--memory', 'recompute'],
    ],
    ['with weights that are updated during the backward pass, on 2 ranks', 2, ['--memory', 'light']],
  ] as const)('have the losses and gradients of one: %s', async (_, ranks, more) => {
    const [one, several] = [place(), place()];
    await alone(train(one, more));
    const { code, stderr, stdout } = await inRanks(ranks, train(several, more));
    expect(code, stderr).toBe(0);
    expectSameRun(several, one);
    // Only the first rank prints.
    expect(stderr.match(/the model of step/g)).toHaveLength(1);
    expect(stdout).toBe('');
  });

  it('fine-tune as one does', async () => {
    const base = join(folder, 'base');
    baseModel(base);
    writeFileSync(`${base}.jsonl`, chats(40));
    const finetune = (out: string) => [
      ...['finetune', base, '--data', `${base}.jsonl`, '--out', out, '--batch', '2', '--seq', '32'],
      ...['--steps', '6', '--validation', '5', '--eval-every', '2', '--threads', '1'],
    ];
    const [one, several] = [place(), place()];
    await alone(finetune(one));
    const { code, stderr } = await inRanks(2, finetune(several));
    expect(code, stderr).toBe(0);
    expectSameRun(several, one);
    expect(readdirSync(several).sort()).toEqual(readdirSync(one).sort());
  });

  it('end when one of them is killed, and resume to the same bits, or on another number of ranks', async () => {
    const [whole, killed] = [place(), place()];
    expect((await inRanks(2, train(whole))).code).toBe(0);
    const running = await mpirun(2, train(killed, ['--steps', '400', '--save-every', '1']));
    await running.seen(/held-out loss/);
    const pids = ranksOf(running);
    expect(pids).toHaveLength(2);
    process.kill(pids[1]!, 'SIGKILL');
    expect((await running.finished).code).not.toBe(0);
    await until(() => !pids.some(isRunning), 'all ranks are gone');

    const [cut, moved] = [place(), place()];
    const halfway = await mpirun(2, train(cut));
    await halfway.seen(/step 3: held-out loss/);
    const first = ranksOf(halfway)[0]!;
    if (isRunning(first)) process.kill(first, 'SIGKILL');
    await halfway.finished;
    cpSync(cut, moved, { recursive: true });
    const again = await inRanks(2, train(cut, ['--resume']));
    expect(again.code, again.stderr).toBe(0);
    expect(metricsOf(cut)).toEqual(metricsOf(whole));
    expect(model(cut).equals(model(whole))).toBe(true);
    await alone(train(moved, ['--resume']));
    expectSameRun(moved, whole);
  });

  it('end when one of them hangs, by their own watchdog', async () => {
    const out = place();
    const running = await mpirunBy(
      { ...LAUNCHERS[0]!, env: { ROPEWALK_RANKS_TIMEOUT: '2' } },
      2,
      train(out, ['--steps', '4000', '--save-every', '2']),
    );
    await running.seen(/held-out loss/);
    const pids = ranksOf(running);
    process.kill(pids[1]!, 'SIGSTOP');
    const { code, stderr } = await running.finished;
    expect(code).not.toBe(0);
    expect(stderr).toContain(
      'If one of them is lost, the job ends; to continue from what was saved, run the same command with --resume.',
    );
    expect(stderr).toMatch(
      /rank 0 of 2: .*no other rank has answered rank 0 for 2 s: one of them hangs, or the connection to it is lost/,
    );
    await until(() => !pids.some(isRunning), 'all ranks are gone');
  });

  it.each(['none', 'states', 'all'])(
    'keep the checkpoint before when a disk is full, with --shard %s',
    async (shard) => {
      const [whole, run] = [place(), place()];
      const args = (out: string, ...more: string[]) => train(out, ['--shard', shard, ...more]);
      expect((await inRanks(2, args(whole))).code).toBe(0);
      cpSync(whole, run, { recursive: true });
      rmSync(join(run, 'checkpoints', 'step-00000008'), { recursive: true });
      const before = readdirSync(join(run, 'checkpoints'));
      // Files of at most 64 KiB, for the rank that writes, or for one of those that write.
      const limited = ['bash', '-c', 'ulimit -f 64; exec "$@"', 'limited'];
      const by = shard === 'none' ? [limited, []] : [[], limited];
      const resumed = args(run, '--resume');
      const failed = await (await mpirunBy({ ...LAUNCHERS[0]!, by }, 2, resumed, resumed)).finished;
      expect(failed.code).toBe(1);
      expect(failed.stderr).toMatch(/EFBIG|too large|full/i);
      expect(readdirSync(join(run, 'checkpoints')).filter((name) => !name.startsWith('.'))).toEqual(before);
      const again = await inRanks(2, resumed);
      expect(again.code, again.stderr).toBe(0);
      expect(model(run).equals(model(whole))).toBe(true);
    },
  );

  it('stop at the same step when one of them is interrupted, with a checkpoint', async () => {
    const out = place();
    const running = await mpirun(
      2,
      train(out, ['--steps', '4000', '--save-every', '0', '--eval-every', '2']),
    );
    await running.seen(/held-out loss/);
    process.kill(ranksOf(running)[1]!, 'SIGINT');
    const { code, stderr } = await running.finished;
    expect(code).toBe(130);
    expect(stderr).toContain('interrupted; resume with the same command and --resume');
    expect(readdirSync(join(out, 'checkpoints'))).toHaveLength(1);
  });

  it('refuse to start where they do not see the same data, or rows cannot be dealt out', async () => {
    const run = place();
    const different = await inRanks(2, train(run), train(run, [], other));
    expect(different.code).toBe(1);
    expect(different.stderr).toContain('the ranks differ: "text or tokenizer" is ');
    const odd = await inRanks(3, train(run));
    expect(odd.code).toBe(1);
    expect(odd.stderr).toContain(
      '--batch: a step has 4 rows (--batch 4 × --accumulate 1), which cannot be dealt out to 3 ranks; choose a multiple of 3.',
    );
    const missing = await inRanks(2, train(run), train(run, [], join(folder, 'none.txt')));
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(/rank 1 of 2: .*none\.txt/);
    expect(() => readdirSync(run)).toThrow('ENOENT');
  });

  it('leave commands of one process alone', async () => {
    const { code, stderr } = await inRanks(2, ['inspect', 'model']);
    expect(code).toBe(1);
    expect(stderr).toContain(
      'inspect runs in one process, but mpirun (Open MPI) started 2; start it alone. train, finetune, distill, teach, generate, score, evaluate run in several.',
    );
  });
});
