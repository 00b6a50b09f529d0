import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { addFlags, readOptions } from '../src/cli/options/flags.ts';
import { DISTILL } from '../src/distillation/settings.ts';
import { FINETUNE } from '../src/finetune/settings.ts';
import { kebab } from '../src/options.ts';
import { OPTIMIZERS, optimizerOptions } from '../src/training/optimizers/create-optimizer.ts';
import { SCHEDULES } from '../src/training/schedule.ts';
import { resolveSettings, TRAIN, type TrainingInput, trainingOptions } from '../src/training/settings.ts';
import { ropewalk } from './helpers/cli.node.ts';

/** The options of `train`, `finetune` and `distill`: declared once, the same everywhere. */

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-options-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const VERBS = [TRAIN, FINETUNE, DISTILL] as const;

/** What `--help` says of each flag, in its order: lines joined, the default apart. */
async function helpOf(verb: string): Promise<Map<string, { says: string; byDefault: string | undefined }>> {
  const { stdout } = await ropewalk([verb, '--help']);
  const options = stdout.slice(stdout.indexOf('Options:'), stdout.indexOf('Examples:'));
  const entries = options
    .split(/\n {2}(?=-)/)
    .slice(1)
    .map((entry) => {
      const [, flag, rest] = /^(?:-h, )?(--[\w-]+)([\s\S]*)$/.exec(entry)!;
      const words = rest!.replaceAll(/\s+/g, ' ').trim();
      const [shown, byDefault] = / \(default: ([^)]*)\)/.exec(words) ?? ['', undefined];
      return [flag!, { says: words.replace(shown, ''), byDefault }] as const;
    });
  return new Map(entries);
}

describe('the help of train, finetune and distill', () => {
  const shared = [
    'config',
    'out',
    ...Object.keys(trainingOptions).map(kebab),
    'threads',
    'resume',
    'dry-run',
    'find-lr',
    'json',
  ];

  it('lists the same shared options, in the same words and order', async () => {
    const [train, ...others] = await Promise.all(VERBS.map(({ name }) => helpOf(name)));
    const ofRuns = (help: typeof train) => [...help!].filter(([flag]) => shared.includes(flag.slice(2)));
    expect(ofRuns(train).map(([flag]) => flag.slice(2))).toEqual(shared);
    const said = (help: typeof train) => ofRuns(help).map(([flag, { says }]) => [flag, says]);
    for (const help of others) expect(said(help)).toEqual(said(train));
  });

  it('shows the defaults of the library', async () => {
    for (const { name, defaults } of VERBS) {
      const help = await helpOf(name);
      for (const [option, value] of Object.entries(resolveSettings({ name, own: {}, defaults }, {}))) {
        if (Array.isArray(value) && value.length === 0) continue;
        expect(help.get(`--${kebab(option)}`)?.byDefault, `${name} --${kebab(option)}`).toBe(String(value));
      }
    }
  });

  it('lists every recorded optimizer and schedule, and their options', async () => {
    const help = await helpOf('train');
    for (const name of OPTIMIZERS) expect(help.get('--optimizer')!.says).toContain(`"${name}"`);
    for (const name of SCHEDULES) expect(help.get('--schedule')!.says).toContain(`"${name}"`);
    const ofFlags = Object.keys(optimizerOptions).filter((name) => name in trainingOptions);
    expect(ofFlags).toEqual(
      expect.arrayContaining(['beta1', 'beta2', 'eps', 'weightDecay', 'states', 'clipThreshold']),
    );
    for (const name of ofFlags)
      expect(help.get(`--${kebab(name)}`)!.says).toMatch(new RegExp(`; for (${OPTIMIZERS.join('|')})`));
  });
});

/** What a command line, with a configuration file, asks a verb for. */
async function asked(verb: (typeof VERBS)[number], args: readonly string[], yaml?: string) {
  const command = new Command(verb.name).exitOverride().configureOutput({ writeErr: () => {} });
  const shape = { ...verb.own, ...trainingOptions };
  addFlags(command, shape, verb.defaults);
  command.parse(args, { from: 'user' });
  const file = yaml === undefined ? undefined : join(folder, `${verb.name}.yaml`);
  if (file) writeFileSync(file, yaml!);
  const { values, spell } = await readOptions(command, shape, file);
  return { settings: resolveSettings(verb as typeof TRAIN, values as TrainingInput), spell };
}

describe.each(VERBS)('the options of $name', (verb) => {
  const input: TrainingInput = {
    ...{
      epochs: 2.5,
      batch: 3,
      seq: 40,
      accumulate: 2,
      lr: 4e-4,
      warmup: 7,
      schedule: 'linear',
      minLrRatio: 0.2,
    },
    ...{ optimizer: 'adamw', beta1: 0.8, beta2: 0.9, eps: 1e-6, weightDecay: 0.3, states: 'int8', clip: 0.5 },
    ...{
      memory: 'recompute',
      freeze: ['*norm*', 'lm_head.*'],
      validation: 0.2,
      evalEvery: 5,
      patience: 4,
      guard: 3,
    },
    ...{ saveEvery: 9, keep: 1, result: 'last', dtype: 'bfloat16', seed: -2 },
  };
  const args = Object.entries(input).flatMap(([name, value]) =>
    [value].flat().flatMap((each) => [`--${kebab(name)}`, String(each)]),
  );
  const yaml = Object.entries(input)
    .map(([name, value]) => `${kebab(name)}: ${JSON.stringify(value)}\n`)
    .join('');

  it('have the same values from flags, from YAML and in the library', async () => {
    const library = resolveSettings(verb as typeof TRAIN, input);
    expect(library).toMatchObject(input);
    expect((await asked(verb, args)).settings).toEqual(library);
    expect((await asked(verb, [], yaml)).settings).toEqual(library);
    expect(
      (await asked(verb, ['--epochs', '2.5'], yaml.replace('epochs: 2.5', 'epochs: 9'))).settings,
    ).toEqual(library);
  });

  it('include every option of a run, and no option that was not set', async () => {
    const { settings } = await asked(verb, ['--optimizer', 'sgd', '--schedule', 'constant', '--steps', '3']);
    const unset = ['trainNewRowsFirst', 'evaluate', 'evaluateData', 'evaluateLimit', 'bestBy'];
    const idle = [...Object.keys(optimizerOptions), 'minLrRatio', ...unset, 'epochs', 'warmup'];
    const all = Object.keys({ ...trainingOptions, ...verb.own }).filter((name) => !idle.includes(name));
    expect(Object.keys(settings).sort()).toEqual(all.sort());
  });

  it('given on the command line replace conflicting ones in the file', async () => {
    expect((await asked(verb, ['--steps', '4'], 'epochs: 2\n')).settings).toMatchObject({ steps: 4 });
    expect((await asked(verb, ['--steps', '4'], 'epochs: 2\n')).settings).not.toHaveProperty('epochs');
    expect((await asked(verb, ['--epochs', '1'], 'steps: 2\n')).settings).not.toHaveProperty('steps');
  });

  it.each<[string, string, RegExp]>([
    [
      'learning-rate: 1',
      'learningRate',
      /^(.*\.yaml: "learning-rate"): there is no such option; there are accumulate, /,
    ],
    ['clip-norm: 1', 'clipNorm', /^(.*\.yaml: "clip-norm"): there is no such option/],
    ['lr: fast', 'lr', /^(.*\.yaml: "lr"): give a number above 0, not "fast"\.$/],
    ['states: int4', 'states', /^(.*\.yaml: "states"): give float32, bfloat16 or int8, not "int4"\.$/],
    ['keep: 0', 'keep', /^(.*\.yaml: "keep"): give a whole number of at least 1, not 0\.$/],
  ])('in a file are refused by file, field and remedy: %s', async (line, _name, message) => {
    await expect(asked(verb, [], `${line}\n`)).rejects.toThrow(message);
  });

  it.each<[TrainingInput, RegExp]>([
    [{ steps: 1, epochs: 1 }, /^epochs: steps also sets the length of the run; leave one of the two out\.$/],
    [
      { memory: 'light', accumulate: 2 },
      /^memory: light .* accumulate is 2; leave that out, or choose memory: 'recompute'\.$/,
    ],
    [
      { optimizer: 'sgd', states: 'int8' },
      /^states: the optimizer sgd has no such option; leave it out, or choose optimizer: 'adamw'/,
    ],
    [
      { optimizer: 'sgd', weightDecay: 0.1 },
      /^weightDecay: .* or choose optimizer: 'adamw' or optimizer: 'adafactor'/,
    ],
    [
      { beta2Decay: -1 },
      /^beta2Decay: the optimizer adamw has no such option; .* choose optimizer: 'adafactor'/,
    ],
    [
      { schedule: 'constant', minLrRatio: 0 },
      /^minLrRatio: the schedule constant has no such option; .* choose schedule: 'cosine' or schedule: 'linear'\.$/,
    ],
    [
      { validation: 0, evalEvery: 5 },
      /^evalEvery: validation is 0, .*; leave it out, or hold some data out\.$/,
    ],
    [{ validation: 0, patience: 2 }, /^patience: validation is 0, /],
    [{ validation: 0, result: 'best' }, /^result: validation is 0, /],
  ])('are refused when they contradict each other: %o', (input, message) => {
    expect(() => resolveSettings(verb as typeof TRAIN, input)).toThrow(message);
  });
});

it('the defaults of train, finetune and distill differ only where a reason is written beside them', () => {
  const differing = (a: TrainingInput, b: TrainingInput) =>
    Object.keys(trainingOptions).filter(
      (name) =>
        JSON.stringify(a[name as keyof TrainingInput]) !== JSON.stringify(b[name as keyof TrainingInput]),
    );
  const [train, finetune, distill] = VERBS.map(({ defaults }) => defaults);
  expect(differing(train!, distill!)).toEqual(['lr']);
  expect(differing(train!, finetune!).sort()).toEqual(
    ['batch', 'beta2', 'epochs', 'lr', 'seq', 'steps', 'weightDecay'].sort(),
  );
});
