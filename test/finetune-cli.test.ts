import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunPlan } from '../src/training/runs/plan.ts';
import { buildProgram, ropewalk, startSignalled } from './helpers/cli.node.ts';
import { baseModel, chats } from './helpers/finetune-run.node.ts';
import { leftBehind } from './helpers/training-run.node.ts';

/** `ropewalk finetune` as people call it. */

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-finetune-'));
const model = join(folder, 'base');
const data = join(folder, 'chats.jsonl');
const small = ['--batch', '2', '--seq', '24', '--threads', '1', '--data', data];
let count = 0;
const place = () => join(folder, `run${count++}`);

beforeAll(() => {
  baseModel(model);
  writeFileSync(data, chats(60));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const finetune = (...args: string[]) => ropewalk(['finetune', ...args]);

async function refusal(...args: string[]): Promise<string> {
  const { code, stderr } = await finetune(...args);
  expect(code).not.toBe(0);
  const lines = stderr.trim().split('\n');
  return lines.at(-1)!.replace(/^ropewalk: /, '');
}

function config(text: string): string {
  const path = join(folder, `config${count++}.yaml`);
  writeFileSync(path, text);
  return path;
}

describe('a configuration file of ropewalk finetune', () => {
  it('gives the settings, and options on the command line override it', async () => {
    const out = place();
    const file = config(
      `model: ${model}\ndata: [${data}]\nout: ${out}\nsteps: 9\nbatch: 2\nseq: 24\nlr: 0.002 # peak\nfreeze:\n  - model.layers.0.*\neval-every: 2\nthreads: 1\npack: false\n`,
    );
    const { code, stdout, stderr } = await finetune('--config', file, '--steps', '4', '--json');
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ out, step: 4, interrupted: false });
    const { settings } = JSON.parse(readFileSync(join(out, 'run.json'), 'utf8')) as { settings: object };
    expect(settings).toMatchObject({
      steps: 4,
      lr: 0.002,
      freeze: ['model.layers.0.*'],
      evalEvery: 2,
      pack: false,
    });
    // The shape of the terminal's view where there is no terminal.
    expect(stderr).toMatch(/step 2: held-out loss \d/);
    expect(stderr).toMatch(
      /training 100% {2}step 4\/4 {2}loss \d\.\d+ [▁-█]+ {2}[\d,]+ trained tokens\/s, \d+ % of the engine's limit/,
    );
    expect(stderr).toContain(`the report in ${join(out, 'report.html')}`);
  });

  it.each([
    [
      'steps: 3\nlearning-rate: 1\n',
      /: "learning-rate": there is no such option; there are accumulate, add-token, .*, lr, /,
    ],
    ['steps: many\n', /: "steps": give a whole number of at least 1, not "many"\./],
    ['min-lr-ratio: 2\n', /: "min-lr-ratio": give a number from 0 to 1, not 2\./],
    ['steps: [1\n', /is not valid YAML: /],
    ['- steps\n', /a configuration is a list of settings, such as "epochs: 2"/],
  ])('%j is refused by name', async (text, message) => {
    const file = config(text);
    const line = await refusal(model, '--config', file, '--data', data, '--out', place());
    expect(line).toMatch(message);
    expect(line).toContain(file);
  });
});

describe('ropewalk finetune with missing or wrong options', () => {
  it.each<[string[], RegExp]>([
    [['--data', data, '--out', 'x'], /the model is missing: give it after the command/],
    [[model, '--out', 'x'], /--data: it is missing: give a file of examples/],
    [[model, ...small], /--out: it is missing: give a folder for the run/],
    [[model, ...small, '--out', 'x', '--memory', 'tiny'], /Allowed choices are fast, recompute, light/],
    [
      [model, ...small, '--out', 'x', '--template', 'none'],
      /--template none: .*no such file.*names are chatml, plain/,
    ],
    [
      [model, ...small, '--out', 'x', '--column', 'prompt'],
      /--column prompt: give what the column holds and its name/,
    ],
    [
      [model, ...small, '--out', 'x', '--beta1', '1'],
      /option '--beta1 <b>' argument '1' is invalid\. Give a number of at least 0 and below 1/,
    ],
    [[model, ...small, '--out', 'x', '--resume'], /x holds no run to resume/],
    [[model, '--seq', '24', '--data', 'nothing.jsonl', '--out', 'x'], /nothing\.jsonl/],
  ])('names the problem: %j', async (args, message) => {
    expect(await refusal(...args)).toMatch(message);
    expect(existsSync('x/run.json')).toBe(false);
  });
});

describe('ropewalk finetune before a run', () => {
  it('--dry-run prints what a run would take, and leaves nothing behind', async () => {
    const out = place();
    const options = [
      '--epochs',
      '2',
      '--accumulate',
      '2',
      '--validation',
      '10',
      '--freeze',
      '*embed_tokens*',
    ];
    const { code, stdout, stderr } = await finetune(
      model,
      ...small,
      ...options,
      '--out',
      out,
      '--dry-run',
      '--json',
    );
    expect(code, stderr).toBe(0);
    const plan = JSON.parse(stdout) as RunPlan;
    // The reference model: vocabulary 96, width 32, all of it but the tied embedding is trained.
    expect(plan.parameters - plan.trainedParameters).toBe(96 * 32);
    expect(plan.data).toMatchObject({ examples: 50, validationExamples: 10 });
    expect(plan.steps).toBe(Math.ceil((2 * plan.data.batchesPerEpoch) / 2));
    expect(plan.memory.weights).toBe(4 * plan.parameters);
    expect(plan.memory.optimizer).toBe(8 * plan.trainedParameters);
    // Two micro-batches: the second one's gradients are added to the first one's.
    expect(plan.memory.gradients).toBe(8 * plan.trainedParameters);
    expect(plan.secondsPerStep).toBeGreaterThan(0);
    expect(existsSync(out)).toBe(false);
    const { stdout: text } = await finetune(model, ...small, '--dry-run');
    expect(text).toMatch(/^total memory +\d+ MB of [\d.]+ GB available \(machine: [\d.]+ GB\)$/m);
    expect(text).toMatch(/^time +\S+.* \(\d+\.\d\d s per step, measured\)$/m);
  });

  it('--find-lr suggests a rate between those that do nothing and those that diverge', async () => {
    const { code, stdout, stderr } = await finetune(model, ...small, '--find-lr', '--json');
    expect(code, stderr).toBe(0);
    const { suggested, points } = JSON.parse(stdout) as {
      suggested: number;
      points: { learningRate: number; smoothed: number }[];
    };
    expect(suggested).toBeGreaterThan(1e-5);
    expect(suggested).toBeLessThan(0.3);
    expect(points[0]!.learningRate).toBeCloseTo(1e-7, 12);
    const { stdout: text } = await finetune(model, ...small, '--find-lr');
    expect(text).toMatch(/the loss falls fastest at .*: try --lr /);
  });
});

it('ropewalk finetune saves a checkpoint and exits with 130 at Ctrl-C; --resume gives what an undisturbed run gives', async () => {
  const [calm, disturbed] = [place(), place()];
  const args = ['finetune', model, ...small, '--steps', '40', '--lr', '1e-3', '--eval-every', '10', '--json'];
  const program = await buildProgram('bin/ropewalk.js');
  const running = startSignalled(program, [...args, '--out', disturbed], /step 10: held-out/);
  const { code, stderr, stdout } = await running.finished;
  expect(code, stderr).toBe(130);
  expect(stderr).toMatch(/interrupted; resume with the same command and --resume\n$/);
  const { step } = JSON.parse(stdout) as { step: number };
  expect(readdirSync(join(disturbed, 'checkpoints'))).toEqual([`step-${String(step).padStart(8, '0')}`]);
  const resumed = await ropewalk([...args, '--out', disturbed, '--resume']);
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(resumed.stderr).toContain(`resumed at step ${step}\n`);
  expect((await ropewalk([...args, '--out', calm])).code).toBe(0);
  const [a, b] = [leftBehind(disturbed), leftBehind(calm)];
  for (const name of ['model.safetensors', 'metrics.jsonl', 'best/model.safetensors', 'README.md']) {
    expect(a[name] === b[name], name).toBe(true);
  }
});
