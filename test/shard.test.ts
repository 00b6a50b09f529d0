import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../src/random.ts';
import { buildProgram, start, startCommand } from './helpers/cli.node.ts';
import { baseModel, chats } from './helpers/finetune-run.node.ts';
import { HAS_MPI, LAUNCHERS, mpirun } from './helpers/ranks.node.ts';
import { expectSameRun, metricsOf } from './helpers/run-metrics.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-shard-'));
const text = join(folder, 'book.txt');
let count = 0;
const place = () => join(folder, `run${count++}`);

beforeAll(() => {
  const random = new Random(3);
  const words = ['rope', 'walk', 'of', 'the', 'a', 'hemp', 'sea', 'spun', 'long', 'and'];
  const written = Array.from({ length: 3000 }, () => words[random.nextInt(words.length)]).join(' ');
  writeFileSync(text, written);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const train = (out: string, more: readonly string[] = []) => [
  ...['train', '--family', 'llama', '--text', text, '--out', out, '--vocab-size', '300', '--seq', '24'],
  ...['--batch', '6', '--steps', '4', '--eval-every', '2', '--save-every', '2', '--seed', '5'],
  ...['--threads', '1', ...more],
];

async function alone(args: readonly string[]): Promise<void> {
  const { code, stderr } = await start(await buildProgram('bin/ropewalk.js'), args).finished;
  expect(code, stderr).toBe(0);
}

async function inRanks(ranks: number, args: readonly string[]) {
  const done = await (await mpirun(ranks, args)).finished;
  expect(done.code, done.stderr).toBe(0);
  return done;
}

const file = (run: string, name = 'model.safetensors') => readFileSync(join(run, name));

describe.skipIf(!HAS_MPI)('training over ranks that divide weights and states', () => {
  it.each([
    ['AdamW with the whole graph', 2, []],
    [
      '8-bit states, several micro-batches',
      3,
      ['--memory', 'recompute', '--states', 'int8', '--accumulate', '2'],
    ],
    [
      'Adafactor, and weights that are updated during the backward pass',
      2,
      ['--memory', 'light', '--optimizer', 'adafactor', '--lr', '0.01'],
    ],
    ['SGD with frozen weights', 3, ['--optimizer', 'sgd', '--freeze', '*norm*']],
  ] as const)('has the losses of one process where states are sharded: %s', async (_, ranks, more) => {
    const [one, several] = [place(), place()];
    await alone(train(one, more));
    await inRanks(ranks, train(several, [...more, '--shard', 'states']));
    expectSameRun(several, one);
    expect(existsSync(join(several, 'model.safetensors'))).toBe(true);
  });

  it.each([
    ['on 2 ranks, with two norms a layer and soft caps', 2, ['--family', 'gemma2']],
    ['on 3 ranks, with an untied head and 8-bit states', 3, ['--states', 'int8']],
    ['on 4 ranks, with learned positions', 4, ['--family', 'gpt2', '--batch', '8']],
    ['on 2 ranks, with frozen weights', 2, ['--freeze', 'model.embed_tokens.*', '--optimizer', 'sgd']],
  ] as const)('has the losses of one process where weights are sharded: %s', async (_, ranks, more) => {
    const [one, several] = [place(), place()];
    await alone(train(one, [...more, '--memory', 'light']));
    await inRanks(ranks, train(several, [...more, '--shard', 'all']));
    expectSameRun(several, one);
  });

  it('keeps the checkpoint before where one rank cannot write, and resumes from it', async () => {
    const [whole, cut] = [place(), place()];
    const more = ['--shard', 'all', '--keep', '5', '--eval-every', '4'];
    await inRanks(2, train(whole, more));
    cpSync(whole, cut, { recursive: true });
    rmSync(join(cut, 'checkpoints/step-00000004'), { recursive: true });
    rmSync(join(cut, 'best'), { recursive: true });
    const { command, options } = LAUNCHERS[0]!;
    const program = [
      process.execPath,
      await buildProgram('bin/ropewalk.js'),
      ...train(cut, [...more, '--resume']),
    ];
    // The second rank may write files of at most 64 KiB: those of shared memory would be larger.
    const apart = options.map((option) => (option === 'self,vader,tcp' ? 'self,tcp' : option));
    const limited = ['bash', '-c', 'ulimit -f 64; exec "$0" "$@"', ...program];
    const failed = startCommand(command, [...apart, '-n', '1', ...program, ':', '-n', '1', ...limited]);
    const { code, stderr } = await failed.finished;
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/rank 1: cannot write .*\.safetensors: the file is too large/);
    expect(readdirSync(join(cut, 'checkpoints'))).toEqual(['step-00000002']);
    await inRanks(2, train(cut, [...more, '--resume']));
    expect(file(cut).equals(file(whole))).toBe(true);
  });

  it('fine-tunes as one process does where weights are sharded', async () => {
    const base = join(folder, 'base');
    baseModel(base);
    writeFileSync(`${base}.jsonl`, chats(24));
    const finetune = (out: string, more: readonly string[]) => [
      ...['finetune', base, '--data', `${base}.jsonl`, '--out', out, '--batch', '2', '--seq', '32'],
      ...[
        '--steps',
        '4',
        '--validation',
        '5',
        '--eval-every',
        '2',
        '--threads',
        '1',
        '--add-token',
        '<|new|>',
        ...more,
      ],
    ];
    const [one, several] = [place(), place()];
    await alone(finetune(one, ['--memory', 'light']));
    await inRanks(2, finetune(several, ['--shard', 'all', '--dtype', 'bfloat16']));
    expectSameRun(several, one);
  });

  it('refuses by name what cannot be divided', async () => {
    const program = await buildProgram('bin/ropewalk.js');
    for (const [more, said] of [
      [
        ['--shard', 'all', '--memory', 'fast'],
        '--shard: weights are gathered block by block and updated during the backward pass, so --memory fast is not possible',
      ],
      [
        ['--shard', 'all', '--optimizer', 'adafactor'],
        '--shard: --optimizer adafactor updates weights only as wholes',
      ],
      [
        ['--shard', 'all', '--sample-prompt', 'rope'],
        '--shard: no process has all weights, which --sample-prompt needs',
      ],
      [['--shard', 'all', '--accumulate', '2'], 'allows one micro-batch per step'],
    ] as const) {
      const { code, stderr } = await start(program, train(place(), more)).finished;
      expect(code).toBe(1);
      expect(stderr).toContain(said);
    }
  });

  it.each([
    ['states', ['--states', 'bfloat16'], 'none'],
    ['all', ['--memory', 'light'], 'states'],
  ] as const)(
    'resumes to the same bits, and on other numbers of ranks: %s',
    async (shard, settings, other) => {
      const [whole, again] = [place(), place()];
      const more = [...settings, '--keep', '5', '--shard', shard];
      await inRanks(3, train(whole, more));
      await inRanks(3, train(again, more));
      expect(metricsOf(again)).toEqual(metricsOf(whole));
      expect(file(again).equals(file(whole))).toBe(true);
      const half = () => {
        const run = place();
        cpSync(whole, run, { recursive: true });
        rmSync(join(run, 'checkpoints/step-00000004'), { recursive: true });
        rmSync(join(run, 'model.safetensors'));
        return run;
      };
      const [same, fewer, single] = [half(), half(), half()];
      await inRanks(3, train(same, [...more, '--resume']));
      expect(file(same).equals(file(whole))).toBe(true);
      await inRanks(2, train(fewer, [...more, '--resume', '--shard', other]));
      expectSameRun(fewer, whole);
      await alone(train(single, [...more, '--resume']));
      expectSameRun(single, whole);
    },
  );
});
