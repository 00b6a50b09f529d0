import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RopewalkError } from '../src/errors.ts';
import { Random } from '../src/random.ts';
import { buildProgram, start } from './helpers/cli.node.ts';
import { baseModel, chats, FINETUNE_STEPS, smallFinetune } from './helpers/finetune-run.node.ts';
import { leftBehind } from './helpers/training-run.node.ts';
import { openWorkshop } from './helpers/workshop.node.ts';

/**
 * A fine-tuning that was killed at any moment goes on as if nothing had been: to the same bits. ROPEWALK_KILLS says how
 * often it is killed at random moments.
 */
const KILLS = Number(process.env.ROPEWALK_KILLS ?? 4);

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-finetune-'));
const model = join(folder, 'base');
let count = 0;
const place = () => join(folder, `run${count++}`);
const whole = place();
let expected: Record<string, string>;
let program: string;

beforeAll(async () => {
  baseModel(model);
  writeFileSync(`${model}.jsonl`, chats(80));
  program = await buildProgram('test/helpers/training-child.node.ts');
  await smallFinetune(model, { out: whole });
  expected = leftBehind(whole);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const dyingAt = (operation: number, out: string) =>
  start(program, [out, 'if there', String(operation), model]).finished;

async function finish(out: string) {
  const { code, stderr, stdout } = await dyingAt(0, out);
  expect(code, stderr).toBe(0);
  expectSame(leftBehind(out), expected);
  return stdout;
}

/** Says which file differs rather than how: some are long. */
function expectSame(left: Record<string, string>, wanted: Record<string, string>): void {
  expect(Object.keys(left)).toEqual(Object.keys(wanted));
  for (const [name, content] of Object.entries(wanted)) expect(left[name] === content, name).toBe(true);
}

describe('a fine-tuning run killed with kill -9', () => {
  it(`resumes to the same bits after ${KILLS} random moments`, async () => {
    const random = new Random(20264);
    let kills = 0;
    while (kills < KILLS) {
      const out = place();
      for (let finished = false; !finished && kills < KILLS; ) {
        const running = start(program, [out, 'if there', '0', model]);
        // What is left after the last step is done before any other step is seen.
        const steps = await running.seen(/step/).then(
          () => true,
          () => false,
        );
        if (steps) await sleep(random.next() * 600);
        running.process.kill('SIGKILL');
        const { code, signal, stderr } = await running.finished;
        if (signal === 'SIGKILL') kills++;
        else {
          expect(code, stderr).toBe(0);
          finished = true;
        }
      }
      await finish(out);
    }
  }, 600_000);

  it('resumes to the same bits from inside the files, renames and removals of every kind of save', async () => {
    const out = place();
    const stdout = await finish(out);
    const writesBefore = (step: number) => Number(new RegExp(`step ${step} after (\\d+)`).exec(stdout)![1]);
    // From the second checkpoint and the best model of step 5 to the third checkpoint, which makes the first one go.
    const [first, end] = [writesBefore(5) + 1, writesBefore(10)];
    expect(end - first).toBeGreaterThan(60);
    const killed = place();
    const random = new Random(7);
    for (let operation = first; operation <= end; operation += 10 + random.nextInt(30)) {
      rmSync(killed, { recursive: true, force: true });
      expect((await dyingAt(operation, killed)).signal, `operation ${operation}`).toBe('SIGKILL');
      await finish(killed);
    }
  }, 600_000);
});

it('an interrupted fine-tuning run resumes to the same bits, and a finished one stays as it is', async () => {
  const out = place();
  const controller = new AbortController();
  const events = await smallFinetune(model, { out, signal: controller.signal }, (step) => {
    if (step === 7) controller.abort();
  });
  expect(events.at(-1)).toMatchObject({ type: 'checkpoint', step: 7, last: false });
  for (let again = 0; again < 2; again++) {
    await smallFinetune(model, { out, resume: 'must' });
    expectSame(leftBehind(out), expected);
  }
});

it('a fine-tuning run refuses to resume with other settings or data, by name', async () => {
  const refusal = (options: Parameters<typeof smallFinetune>[1], path = model) =>
    smallFinetune(path, options).then(
      () => 'it ran',
      (error: unknown) => {
        expect(error).toBeInstanceOf(RopewalkError);
        return (error as Error).message;
      },
    );
  const same = { out: whole, resume: 'must' } as const;
  expect(await refusal({ ...same, lr: 1e-3 })).toMatch(/another "lr" \(0\.003, now 0\.001\)/);
  expect(await refusal({ ...same, freeze: [] })).toMatch(/another "freeze\.0" \("model/);
  expect(await refusal({ out: whole })).toMatch(/already holds a run\. Continue it with resume: 'must'/);
  const other = join(folder, 'other.jsonl');
  writeFileSync(other, chats(81));
  cpSync(model, join(folder, 'other'), { recursive: true });
  expect(await refusal({ ...same }, join(folder, 'other'))).toMatch(/another "model"/);
});

it('a disk that fills up during a checkpoint keeps the previous one, and the run resumes from it', async ({
  skip,
}) => {
  const workshop = await openWorkshop();
  try {
    const disk = workshop.mount('2m');
    if (!disk) return skip('this process may not mount a small disk');
    const out = join(disk.path, 'run');
    // What fits beside one checkpoint and the best model is not enough for a second one.
    const kilobytes = Math.ceil(
      Object.entries(expected).reduce(
        (sum, [name, content]) => sum + (/^(best|data)|step-00000020/.test(name) ? 0.75 * content.length : 0),
        0,
      ) / 1024,
    );
    const size = (amount: number) =>
      spawnSync('mount', ['-o', `remount,size=${Math.round(amount)}k`, disk.path]);
    expect(size(kilobytes * 1.35).status).toBe(0);
    const options = { out, evalEvery: 0, saveEvery: 3 };
    const error = await smallFinetune(model, options).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(String(error)).toMatch(/cannot write .*checkpoints\/step-\d+\/.*: the disk is full \(ENOSPC\)/);
    const kept = readdirSync(join(out, 'checkpoints'));
    expect(kept).toEqual(['step-00000003']);
    expect(size(50_000).status).toBe(0);
    await smallFinetune(model, { ...options, resume: 'must' });
    const calm = place();
    await smallFinetune(model, { ...options, out: calm });
    expectSame(leftBehind(out), leftBehind(calm));
  } finally {
    workshop.remove();
  }
});

it('an undisturbed fine-tuning run records every step once', () => {
  const events = expected['metrics.jsonl']!.trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; step: number });
  const steps = events.filter(({ type }) => type === 'step').map(({ step }) => step);
  expect(steps).toEqual(Array.from({ length: FINETUNE_STEPS }, (_, i) => i + 1));
  const evaluations = events.flatMap(({ type, step }) => (type === 'evaluation' ? [step] : []));
  expect(evaluations).toEqual([0, 5, 10, 15, 20]);
  expect(events.flatMap(({ type, step }) => (type === 'samples' ? [step] : []))).toEqual(evaluations);
});
