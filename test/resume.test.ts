import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RopewalkError } from '../src/errors.ts';
import { Random } from '../src/random.ts';
import { buildProgram, ropewalk, start, startSignalled } from './helpers/cli.node.ts';
import {
  leftBehind,
  runToEnd,
  SAVE_EVERY,
  type SmallRun,
  STEPS,
  smallRun,
  tokens,
} from './helpers/training-run.node.ts';

/** A run that was killed or interrupted at any moment goes on as if nothing had been: to the same bits. */

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-resume-'));
let count = 0;
const place = () => join(folder, `run${count++}`);

/** The run that nothing disturbed. */
const whole = place();
let expected: Record<string, string>;
let program: string;
beforeAll(async () => {
  program = await buildProgram('test/helpers/training-child.node.ts');
  await runToEnd(smallRun(whole, 'never'));
  expected = leftBehind(whole);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const checkpoints = (out: string) => readdirSync(join(out, 'checkpoints')).sort();
const LAST = [STEPS - SAVE_EVERY, STEPS].map((step) => `step-${String(step).padStart(8, '0')}`);

it('a training run keeps the requested checkpoints, the finished model and every event once', () => {
  expect(checkpoints(whole)).toEqual(LAST);
  expect(Object.keys(expected)).toEqual(
    expect.arrayContaining(['model.safetensors', `checkpoints/${LAST[1]}/optimizer.safetensors`]),
  );
  const events = expected['metrics.jsonl']!.trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; step: number; loss: number });
  const steps = events.filter(({ type }) => type === 'step');
  expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
  expect(events.flatMap(({ type, step }) => (type === 'evaluation' ? [step] : []))).toEqual([
    4, 8, 12, 16, 20, 24,
  ]);
  expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss - 0.5);
});

/** Goes on with a run, or starts it, in a process that dies at its n-th operation on files; never for 0. */
const dyingAt = (operation: number, out: string) =>
  start(program, [out, 'if there', String(operation)]).finished;

async function finish(out: string) {
  const { code, stderr, stdout } = await dyingAt(0, out);
  expect(code, stderr).toBe(0);
  expect(leftBehind(out)).toEqual(expected);
  return stdout;
}

/** A run that was stopped after a step, with a checkpoint there. */
async function stoppedAfter(step: number): Promise<string> {
  const out = place();
  const controller = new AbortController();
  const onStep = (made: number) => made === step && controller.abort();
  await runToEnd(smallRun(out, 'never'), onStep, controller.signal);
  return out;
}

describe.concurrent('a training run killed with kill -9', () => {
  it('resumes to the same bits after random moments', async () => {
    const seed = 20260;
    const random = new Random(seed);
    let kills = 0;
    while (kills < 8) {
      const out = place();
      for (let finished = false; !finished && kills < 12; ) {
        const running = start(program, [out, 'if there', '0']);
        await running.seen(/step/);
        await sleep(random.next() * 120);
        running.process.kill('SIGKILL');
        const { signal } = await running.finished;
        if (signal === 'SIGKILL') kills++;
        else finished = true;
      }
      await finish(out);
    }
  }, 600_000);

  it('starts over when there is nothing to resume yet', async () => {
    const out = place();
    for (const operation of [1, 2, 4, 6, 9]) {
      expect((await dyingAt(operation, out)).signal).toBe('SIGKILL');
    }
    await finish(out);
  }, 600_000);

  it('resumes from inside each part of a save: in a file, around a rename, while an old checkpoint is removed', async () => {
    // The third checkpoint is the first that makes an older one go.
    const stopped = await stoppedAfter(2 * SAVE_EVERY);
    expect(checkpoints(stopped)).toEqual(['step-00000003', 'step-00000006']);
    const copy = () => {
      const out = place();
      cpSync(stopped, out, { recursive: true });
      return out;
    };
    const stdout = await finish(copy());
    const writesBefore = (step: number) => Number(new RegExp(`step ${step} after (\\d+)`).exec(stdout)![1]);
    const [first, end] = [writesBefore(9) + 1, writesBefore(10)];
    expect(end - first).toBeGreaterThan(40);
    let out = copy();
    for (let operation = first; operation <= end; operation += 7) {
      expect((await dyingAt(operation, out)).signal, `operation ${operation}`).toBe('SIGKILL');
      const names = checkpoints(out).filter((name) => !name.startsWith('.'));
      // Never fewer whole checkpoints than before, whatever else lies there.
      expect(names).toContain('step-00000006');
      if (names.includes('step-00000009')) {
        await finish(out);
        out = copy();
      }
    }
    await finish(out);
  }, 600_000);
});

describe('an interrupted training run', () => {
  it('is resumed to the same bits', async () => {
    for (const step of [1, 4, 13, STEPS]) {
      const out = await stoppedAfter(step);
      await runToEnd(smallRun(out, 'must'));
      expect(leftBehind(out)).toEqual(expected);
    }
  });

  it('that has finished stays as it is when resumed', async () => {
    const out = place();
    cpSync(whole, out, { recursive: true });
    await runToEnd(smallRun(out, 'must'));
    expect(leftBehind(out)).toEqual(expected);
  });

  it('of the command exits with 130, and --resume gives what an undisturbed command gives', async () => {
    const text = join(folder, 'text.txt');
    writeFileSync(text, 'A rope that is walked is a rope that is made. '.repeat(80));
    const [calm, disturbed] = [place(), place()];
    const options = ['--vocab-size', '280', '--batch', '2', '--seq', '16', '--steps', '60', '--threads', '1'];
    const args = ['train', '--family', 'gemma2', '--text', text, ...options, '--json'];
    const command = await buildProgram('bin/ropewalk.js');
    const running = startSignalled(command, [...args, '--out', disturbed], /"step":5,/);
    const interrupted = await running.finished;
    expect(interrupted.code).toBe(130);
    const result = JSON.parse(interrupted.stdout) as { interrupted: boolean; step: number };
    expect(result.interrupted).toBe(true);
    expect(result.step).toBeLessThan(60);
    expect(checkpoints(disturbed)).toEqual([`step-${String(result.step).padStart(8, '0')}`]);
    expect(interrupted.stderr).toMatch(/interrupted; resume with the same command and --resume\n$/);
    const [resumed, undisturbed] = await Promise.all([
      ropewalk([...args, '--out', disturbed, '--resume']),
      ropewalk([...args, '--out', calm]),
    ]);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stderr).toContain(`resumed at step ${result.step}\n`);
    expect(undisturbed.code, undisturbed.stderr).toBe(0);
    const [a, b] = [leftBehind(disturbed), leftBehind(calm)];
    for (const name of ['model.safetensors', 'metrics.jsonl', 'config.json', 'tokenizer.json']) {
      expect(a[name] === b[name], name).toBe(true);
    }
    expect(a['checkpoints/step-00000060/optimizer.safetensors']).toBe(
      b['checkpoints/step-00000060/optimizer.safetensors'],
    );
  });
});

/** The one line of the RopewalkError that a run ends with. */
async function refusal(options: SmallRun): Promise<string> {
  const error: unknown = await runToEnd(options).then(
    () => new Error('it ran'),
    (reason: unknown) => reason,
  );
  expect(error, String(error)).toBeInstanceOf(RopewalkError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

describe('resuming a training run refuses', () => {
  it('the settings of another run, naming what differs', async () => {
    const same = smallRun(whole, 'must');
    for (const [options, message] of [
      [{ lr: 0.02 }, /another "lr" \(0\.01, now 0\.02\)/],
      [{ seed: 3 }, /another "seed" \(11, now 3\)/],
      [{ schedule: 'linear' }, /another "schedule" \("cosine", now "linear"\)/],
      [{ schedule: 'constant' }, /another "schedule" \("cosine", now "constant"\)/],
      [{ optimizer: 'sgd' }, /another "optimizer" \("adamw", now "sgd"\)/],
      [{ states: 'int8' }, /another "states" \("float32", now "int8"\)/],
      [{ memory: 'recompute' }, /another "memory" \("fast", now "recompute"\)/],
      [{ guard: 0 }, /another "guard" \(6, now 0\)/],
      [{ freeze: ['*norm*'] }, /another "freeze\.0" \(nothing, now "\*norm\*"\)/],
      [{ warmup: 5 }, /another "warmup" \(4, now 5\)/],
      [{ batch: 4 }, /another "batch" \(2, now 4\)/],
      [{ tokens: tokens(701) }, /another "text or tokenizer" \("[0-9a-f]{55} …, now "[0-9a-f]{55} …\)/],
      [{ config: { ...same.config, vocab_size: 25 } }, /another "config\.vocab_size" \(24, now 25\)/],
    ] as [Partial<SmallRun>, RegExp][]) {
      const line = await refusal({ ...same, ...options });
      expect(line).toMatch(message);
      expect(line).toMatch(/Resume with the same options and text, or start over in another folder/);
    }
    expect(await refusal({ ...same, steps: STEPS - 1 })).toMatch(
      /another "steps" \(24, now 23\)\. A run can be made longer, but not shorter/,
    );
    expect(leftBehind(whole)).toEqual(expected);
  });

  it('to overwrite an existing run, and to resume a missing one', async () => {
    expect(await refusal(smallRun(whole, 'never'))).toMatch(
      /already holds a run\. Continue it with resume: 'must', or name another folder/,
    );
    expect(await refusal(smallRun(place(), 'must'))).toMatch(
      /holds no run to resume .*start a new one there/,
    );
  });

  it.each<[what: string, file: string, damage: (path: string) => void, message: RegExp]>([
    [
      'truncated weights',
      'model.safetensors',
      (path) => truncateSync(path, readFileSync(path).length - 10),
      /lie outside the file/,
    ],
    [
      'a truncated optimizer',
      'optimizer.safetensors',
      (path) => truncateSync(path, 100),
      /past the file's end/,
    ],
    ['no optimizer', 'optimizer.safetensors', (path) => rmSync(path), /no such file/],
    ['a state that is no JSON', 'trainer.json', (path) => truncateSync(path, 20), /not valid JSON/],
    [
      'a state without its data position',
      'trainer.json',
      (path) => writeFileSync(path, '{"step": 24, "tokens": 3, "optimizerSteps": {}}'),
      /the field "sampler" is damaged/,
    ],
    [
      'a state with an impossible data position',
      'trainer.json',
      (path) => writeFileSync(path, readFileSync(path, 'utf8').replace(/"position":\d+/, '"position":1e6')),
      /the saved data position is damaged/,
    ],
    ['no config', 'config.json', (path) => rmSync(path), /it has no config\.json/],
  ])('a newest checkpoint with %s, until it is removed', async (_, file, damage, message) => {
    const out = place();
    cpSync(whole, out, { recursive: true });
    const newest = join(out, 'checkpoints', LAST[1]!);
    damage(join(newest, file));
    const line = await refusal(smallRun(out, 'must'));
    expect(line).toMatch(message);
    expect(line).toContain(`the newest checkpoint, ${newest}, cannot be resumed`);
    expect(line).toMatch(/To resume from step-00000021, remove that folder and resume\.$/);
    // The remedy works.
    rmSync(newest, { recursive: true });
    await runToEnd(smallRun(out, 'must'));
    expect(leftBehind(out)).toEqual(expected);
  });
});
