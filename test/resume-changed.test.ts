import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Precision } from '../src/runtime/devices.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import type { ResumedEvent } from '../src/training/runs/events.ts';
import { createSchedule } from '../src/training/schedule.ts';
import { leftBehind, runToEnd, type SmallRun, STEPS, smallRun } from './helpers/training-run.node.ts';

/** What may differ when a run is resumed: what changes no number, and more steps or epochs. */

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-resume-changed-'));
let count = 0;
const place = () => join(folder, `run${count++}`);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A run that was stopped after a step, with a checkpoint there. */
async function stopped(step: number, options: Partial<SmallRun> = {}): Promise<string> {
  const out = place();
  const controller = new AbortController();
  const onStep = (made: number) => made === step && controller.abort();
  await runToEnd({ ...smallRun(out, 'never'), ...options }, onStep, controller.signal);
  return out;
}

async function resumed(out: string, options: Partial<SmallRun> = {}) {
  const events = await runToEnd({ ...smallRun(out, 'must'), ...options });
  const { changes } = events.find((event): event is ResumedEvent => event.type === 'resumed')!;
  const steps = events.flatMap((event) => (event.type === 'step' ? [event] : []));
  return { events, changes, steps };
}

const recorded = (out: string) =>
  (JSON.parse(readFileSync(join(out, 'run.json'), 'utf8')) as { settings: Record<string, unknown> }).settings;
/** The losses of all steps, from the file. */
const losses = (out: string) =>
  readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; loss: number })
    .flatMap(({ type, loss }) => (type === 'step' ? [loss] : []));
const last = (out: string) => {
  const name = readdirSync(join(out, 'checkpoints')).sort().at(-1)!;
  const files = leftBehind(join(out, 'checkpoints', name));
  return [name, files['model.safetensors'], files['optimizer.safetensors']];
};

describe('resuming a run with options that change no step', () => {
  const whole = place();
  beforeAll(async () => {
    await runToEnd(smallRun(whole, 'never'));
  });

  it.each<[Partial<SmallRun>, RegExp[]]>([
    [{ keep: 5 }, [/^"keep" \(2, now 5\) does not affect any step$/]],
    [{ saveEvery: 7 }, [/^"saveEvery" \(3, now 7\) does not affect any step$/]],
    [{ evalEvery: 5 }, [/^"evalEvery" \(4, now 5\) does not affect any step$/]],
    [{ dtype: 'bfloat16' }, [/^"dtype" \("float32", now "bfloat16"\) does not affect any step$/]],
    [{ result: 'last' }, [/^"result" \("best", now "last"\) does not affect any step$/]],
    [{}, []],
  ])('is allowed and reported: %o', async (options, said) => {
    const out = await stopped(10);
    const { changes } = await resumed(out, options);
    expect(changes).toHaveLength(said.length);
    said.forEach((message, i) => {
      expect(changes[i]).toMatch(message);
    });
    expect(losses(out)).toEqual(losses(whole));
    expect(last(out)).toEqual(last(whole));
    // From now on the run is so, and goes on without a word.
    expect(recorded(out)).toMatchObject(options);
    expect((await resumed(out, options)).changes).toEqual([]);
  });

  it('writes the result with the weights and type now asked for', async () => {
    const out = await stopped(10);
    await resumed(out, { dtype: 'bfloat16', result: 'last' });
    expect(JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))).toMatchObject({ dtype: 'bfloat16' });
  });
});

describe('resuming a run in another precision', () => {
  const engine = nodeEngine({ threads: 1 });
  /** This machine's processor computes in float32, whatever the engine says. */
  const claiming = (precision: Precision) => ({ ...engine, defaults: { ...engine.defaults, precision } });
  const recordOf = (out: string) =>
    JSON.parse(readFileSync(join(out, 'run.json'), 'utf8')) as Record<string, unknown>;

  it.each<[Precision, Precision]>([
    ['bfloat16', 'float32'],
    ['float32', 'bfloat16'],
  ])('is allowed and reported: first %s, then %s', async (first, then) => {
    const out = await stopped(10, { engine: claiming(first) });
    expect(recordOf(out).precision).toBe(first);
    const { changes } = await resumed(out, { engine: claiming(then) });
    expect(changes).toEqual([
      `precision ${then} instead of ${first}: from here on, losses and weights are not those that the run would have had`,
    ]);
    expect(recordOf(out).precision).toBe(then);
    expect((await resumed(out, { engine: claiming(then) })).changes).toEqual([]);
  });

  it('says nothing of a run that did not record it', async () => {
    const out = await stopped(10);
    const { precision, ...older } = recordOf(out);
    expect(precision).toBe('float32');
    writeFileSync(join(out, 'run.json'), JSON.stringify(older));
    expect((await resumed(out)).changes).toEqual([]);
    expect(recordOf(out).precision).toBe('float32');
  });
});

describe('resuming a run with more steps', () => {
  it('at a constant rate gives the run that was that long from the start, to the bit', async () => {
    const constant = { schedule: 'constant', evalEvery: 0, saveEvery: 0 } as const;
    const long = place();
    await runToEnd({ ...smallRun(long, 'never'), ...constant, steps: STEPS + 10 });
    for (const at of [9, STEPS]) {
      const out = await stopped(at, constant);
      const { changes } = await resumed(out, { ...constant, steps: STEPS + 10 });
      expect(changes).toEqual(['34 steps instead of 24: the learning rate stays at 0.0100']);
      expect(losses(out)).toEqual(losses(long));
      expect(last(out)).toEqual(last(long));
      expect(recorded(out)).toMatchObject({ steps: STEPS + 10, warmup: 4 });
    }
  });

  it('follows the schedule of the longer run from there on, with a note', async () => {
    const out = await stopped(STEPS);
    const before = losses(out);
    const { changes, steps } = await resumed(out, { steps: 40 });
    expect(changes[0]).toMatch(
      /^40 steps instead of 24: from here on the learning rate follows the cosine over 40 steps: 0\.00\d+ instead of 0\.00100$/,
    );
    const rate = createSchedule({ schedule: 'cosine', lr: 0.01, steps: 40, warmup: 4, minLrRatio: 0.1 });
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 16 }, (_, i) => STEPS + 1 + i));
    expect(steps.map(({ learningRate }) => learningRate)).toEqual(steps.map(({ step }) => rate(step)));
    expect(losses(out).slice(0, STEPS)).toEqual(before);
    expect(losses(out)).toHaveLength(40);
  });

  it('keeps a warmup that was derived from the number of steps', async () => {
    const { warmup: _, ...options } = smallRun(place(), 'never');
    const out = place();
    const controller = new AbortController();
    await runToEnd(
      { ...options, out, steps: 60 },
      (step) => step === 2 && controller.abort(),
      controller.signal,
    );
    expect(recorded(out)).toMatchObject({ warmup: 3 });
    await runToEnd({ ...options, out, steps: 100, resume: 'must' }, () => {}, AbortSignal.abort());
    expect(recorded(out)).toMatchObject({ steps: 100, warmup: 3 });
  });

  it('works by more epochs as well', async () => {
    const { steps: _, ...options } = smallRun(place(), 'never');
    const out = place();
    await runToEnd({ ...options, out, epochs: 1 });
    const { steps: once } = recorded(out) as { steps: number };
    const events = await runToEnd({ ...options, out, epochs: 2, resume: 'must' });
    const { changes } = events.find((event): event is ResumedEvent => event.type === 'resumed')!;
    expect(changes[0]).toMatch(new RegExp(`^${recorded(out).steps} steps instead of ${once}: `));
    expect(losses(out)).toHaveLength(recorded(out).steps as number);
    expect(Math.abs((recorded(out).steps as number) - 2 * once)).toBeLessThanOrEqual(1);
  });

  it('after it ended early takes no step, with a note', async () => {
    const options = { lr: 0.5, clip: 0, guard: 0, evalEvery: 1, patience: 2, schedule: 'constant' } as const;
    const out = place();
    const ended = await runToEnd({ ...smallRun(out, 'never'), ...options });
    expect(ended.some(({ type }) => type === 'stopped')).toBe(true);
    const { changes, steps } = await resumed(out, { ...options, steps: 50 });
    expect(changes.at(-1)).toBe('it stopped early, because 2 evaluations had no lower loss: no steps remain');
    expect(steps).toEqual([]);
  });
});

describe('the best weights of a resumed run', () => {
  it('are not taken from a later step than its checkpoint', async () => {
    const out = place();
    // Evaluated at every step, saved at step 12; then it dies with better weights of a later step.
    const often = { evalEvery: 1, saveEvery: 12 } as const;
    await runToEnd({ ...smallRun(out, 'never'), ...often, steps: STEPS });
    const [first, second] = readdirSync(join(out, 'checkpoints')).sort();
    rmSync(join(out, 'checkpoints', second!), { recursive: true });
    expect(first).toBe('step-00000012');
    const { changes, events } = await resumed(out, { evalEvery: 0, saveEvery: 12 });
    expect(changes.at(-1)).toMatch(
      /^the best weights so far \(step 12\) are missing: the lowest loss is tracked from here on$/,
    );
    expect(events.at(-1)).toMatchObject({ type: 'finished', resultStep: STEPS });
  });
});

describe('a run folder of an earlier version', () => {
  /** `run.json` of format 1, as `train` wrote it. */
  function asBefore(out: string): void {
    const {
      settings,
      verb: _verb,
      begun: _begun,
      ...rest
    } = JSON.parse(readFileSync(join(out, 'run.json'), 'utf8'));
    const { steps, accumulate, lr, schedule, warmup, minLrRatio, weightDecay, beta1, beta2, eps } = settings;
    const { clip, evalEvery, saveEvery, seed, batch, seq } = settings;
    const old = {
      ...rest,
      format: 1,
      shape: { batch, seq },
      settings: {
        ...{ steps, accumulate, learningRate: lr, schedule, warmupSteps: warmup, minimumRatio: minLrRatio },
        ...{ weightDecay, betas: [beta1, beta2], eps, clipNorm: clip, evaluateEvery: evalEvery },
        ...{ checkpointEvery: saveEvery, seed },
      },
    };
    writeFileSync(join(out, 'run.json'), JSON.stringify(old, null, 2));
    rmSync(join(out, 'best'), { recursive: true, force: true });
  }

  it('is resumed to the same bits', async () => {
    const was = { guard: 0, result: 'last' } as const;
    const whole = place();
    await runToEnd({ ...smallRun(whole, 'never'), ...was });
    const out = await stopped(10, was);
    asBefore(out);
    const copy = place();
    cpSync(out, copy, { recursive: true });
    const { changes } = await resumed(out, was);
    // Its best weights were never kept.
    expect(changes).toEqual([expect.stringMatching(/^the best weights so far \(step 8\) are missing/)]);
    expect(losses(out)).toEqual(losses(whole));
    expect(last(out)).toEqual(last(whole));
    expect(JSON.parse(readFileSync(join(out, 'run.json'), 'utf8'))).toMatchObject({
      format: 2,
      verb: 'train',
    });
    // There was no guard then, and one that is asked for now is another run.
    await expect(resumed(copy)).rejects.toThrow(/was started with another "guard" \(0, now 6\)/);
    await expect(resumed(copy, { ...was, lr: 0.02 })).rejects.toThrow(/another "lr" \(0\.01, now 0\.02\)/);
  });
});
