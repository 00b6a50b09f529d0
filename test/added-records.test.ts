import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { buildProgram, type Finished, ROOT, start, startSignalled } from './helpers/cli.node.ts';
import { lion } from './helpers/lion.ts';
import { stairs } from './helpers/toy-schedule.ts';
import { leftBehind } from './helpers/training-run.node.ts';

/**
 * An optimizer, a schedule and an export format are one file each and a line in a list. The program below has one more of
 * each, added as docs/adding-an-optimizer.md says: imported, and named at the end of the list.
 */
const ADDITIONS = [
  { list: 'src/training/optimizers/create-optimizer.ts', end: 'sgd] as const;', file: 'lion', name: 'lion' },
  { list: 'src/training/schedule.ts', end: '},\n] as const;', file: 'toy-schedule', name: 'stairs' },
  { list: 'src/export/formats.node.ts', end: 'gguf] as unknown', file: 'toy-format', name: 'tsv' },
];

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-added-'));
const place = (name: string) => join(folder, name);
let program: string;
beforeAll(async () => {
  program = await buildProgram('bin/ropewalk.js', {
    as: 'with-additions',
    plugin: {
      name: 'one more record in each list',
      setup: ({ onLoad }) => {
        for (const { list, end, file, name } of ADDITIONS) {
          onLoad({ filter: new RegExp(`${list.replaceAll('.', '\\.')}$`) }, ({ path }) => {
            const source = readFileSync(path, 'utf8');
            if (source.split(end).length !== 2)
              throw new Error(`${list} does not have one list that ends in ${end}`);
            const added = source.replace(end, end.replace(/,?(\n?\])/, `, ${name}$1`));
            const module = JSON.stringify(join(ROOT, 'test/helpers', `${file}.ts`));
            return { contents: `import { ${name} } from ${module};\n${added}`, loader: 'ts' };
          });
        }
      },
    },
  });
  writeFileSync(place('text.txt'), 'A rope that is walked is a rope that is made. '.repeat(80));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ropewalk = (...args: string[]) => start(program, args).finished;
const helpOf = async (command: string) => (await ropewalk(command, '--help')).stdout.replaceAll(/\s+/g, ' ');
const TRAIN = [
  ...[
    'train',
    '--family',
    'llama',
    '--text',
    place('text.txt'),
    '--vocab-size',
    '280',
    '--threads',
    '1',
    '--json',
  ],
  ...['--batch', '2', '--seq', '16', '--steps', '30', '--warmup', '2'],
  ...['--optimizer', 'lion', '--lr', '1e-3', '--beta2', '0.95', '--schedule', 'stairs', '--drops', '2'],
];
const refusal = ({ code, stderr }: Finished) => {
  expect(code).toBe(1);
  return stderr;
};

describe('an added optimizer', () => {
  it('is the one of the guide', () => {
    const bare = (code: string) => code.replaceAll(/\s/g, '').replaceAll(/,(?=[}\])])/g, '');
    const guide = readFileSync(join(ROOT, 'docs/adding-an-optimizer.md'), 'utf8');
    const [record, body] = [...guide.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code!);
    const moved = `${record}${body}`
      .replaceAll("'../../", "'../../src/")
      .replaceAll(/'\.\/(optimizer-common|record)\.ts'/g, "'../../src/training/optimizers/$1.ts'");
    expect(bare(readFileSync(join(ROOT, 'test/helpers/lion.ts'), 'utf8'))).toBe(bare(moved));
  });

  it('moves by the sign of β1·m + (1 − β1)·g and keeps m ← β2·m + (1 − β2)·g, as computed by hand', () => {
    const value = Float32Array.of(1, -2);
    const parameters = [{ name: 'w', shape: [1, 2], value, gradient: Float32Array.of(2, -1) }];
    const optimizer = lion.create(parameters, { ...lion.defaults, weightDecay: 0.5 });
    optimizer.step(parameters, { learningRate: 0.1 });
    // 1 − 0.1 · (1 + 0.5 · 1), and −2 − 0.1 · (−1 + 0.5 · −2)
    expect([...value]).toEqual([Math.fround(0.85), Math.fround(-1.8)]);
    // m is 0.02 and −0.01: gradients of −0.1 and 0.2 give 0.018 − 0.01 > 0 and −0.009 + 0.02 > 0.
    parameters[0]!.gradient.set([-0.1, 0.2]);
    optimizer.step(parameters, { learningRate: 0.1 });
    // 0.85 − 0.1 · (1 + 0.425), and −1.8 − 0.1 · (1 − 0.9)
    expect(value[0]).toBeCloseTo(0.7075, 6);
    expect(value[1]).toBeCloseTo(-1.81, 6);
    const mean = optimizer.state().tensors.get('m.w')!.data;
    expect(mean[0]).toBeCloseTo(0.99 * 0.02 - 0.01 * 0.1, 8);
    expect(mean[1]).toBeCloseTo(-0.99 * 0.01 + 0.01 * 0.2, 8);
  });

  it('is in the help of every command that takes one, with its options', async () => {
    for (const verb of ['train', 'finetune', 'distill']) {
      const help = await helpOf(verb);
      expect(help).toMatch(/--optimizer <kind> .*?"adafactor", "sgd", "lion"/);
      expect(help).toMatch(/--beta1 <b> .*?; for adamw; for lion: how much of the step/);
    }
    expect(await helpOf('estimate')).toMatch(/--optimizer <name> .*?"sgd", "lion"/);
  });

  it('trains, and an interrupted run resumes to the same bits', async () => {
    const [calm, disturbed] = [place('calm'), place('disturbed')];
    const interrupted = await startSignalled(program, [...TRAIN, '--out', disturbed], /"step":5,/).finished;
    expect(interrupted.code, interrupted.stderr).toBe(130);
    const { step } = JSON.parse(interrupted.stdout) as { step: number };
    expect(step).toBeLessThan(30);
    const [resumed, undisturbed] = await Promise.all([
      ropewalk(...TRAIN, '--out', disturbed, '--resume'),
      ropewalk(...TRAIN, '--out', calm),
    ]);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(undisturbed.code, undisturbed.stderr).toBe(0);
    const [a, b] = [leftBehind(disturbed), leftBehind(calm)];
    for (const name of [
      'model.safetensors',
      'metrics.jsonl',
      'checkpoints/step-00000030/optimizer.safetensors',
    ]) {
      expect(a[name] === b[name], name).toBe(true);
    }
    const made = b['metrics.jsonl']!.trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; loss: number; learningRate: number })
      .filter(({ type }) => type === 'step');
    expect(made.at(-1)!.loss).toBeLessThan(made[0]!.loss - 0.5);
    // Two steps up, then thirds of the other 28, from 1e-3 to a tenth of it.
    expect(new Set(made.map(({ learningRate }) => learningRate.toPrecision(3)))).toEqual(
      new Set(['0.000500', '0.00100', '0.000550', '0.000100']),
    );
    const settings = JSON.parse(readFileSync(join(calm, 'run.json'), 'utf8')) as object;
    expect(JSON.stringify(settings)).toContain('"drops":2');
    expect(
      refusal(await ropewalk(...TRAIN, '--steps', '40', '--drops', '3', '--out', calm, '--resume')),
    ).toMatch(/another "drops" \(2, now 3\)/);
  });

  it('refuses the options of others, and others refuse its own', async () => {
    expect(refusal(await ropewalk(...TRAIN, '--out', place('x'), '--eps', '1'))).toMatch(
      /--eps: the optimizer lion has no such option; leave it out, or choose --optimizer adamw/,
    );
  });
});

describe('an added schedule', () => {
  it('is in the help with its options, and refuses those of others', async () => {
    const help = await helpOf('train');
    expect(help).toMatch(/--schedule <kind> .*?"linear", "constant", "stairs"/);
    expect(help).toMatch(/--drops <n> how often the rate falls; for stairs \(default: 4\)/);
    expect(help).toMatch(/--min-lr-ratio <r> .*?; for cosine, linear or stairs/);
    const cosine = TRAIN.map((arg) => (arg === 'stairs' ? 'cosine' : arg));
    expect(refusal(await ropewalk(...cosine, '--out', place('x')))).toMatch(
      /--drops: the schedule cosine has no such option; leave it out, or choose --schedule stairs\./,
    );
  });

  it('gives the share of the rate that its record says', () => {
    const at = (progress: number) => stairs.share(progress, { drops: 3, minLrRatio: 0.1 });
    expect([0, 0.2, 0.25, 0.6, 0.75, 1].map((x) => at(x).toFixed(6))).toEqual([
      '1.000000',
      '1.000000',
      '0.700000',
      '0.400000',
      '0.100000',
      '0.100000',
    ]);
  });
});

describe('an added export format', () => {
  it('is in the help, and is written with its options', async () => {
    const help = await helpOf('export');
    expect(help).toMatch(/--to <format> .*?"gguf", "tsv"/);
    expect(help).toMatch(/--digits <n> significant digits of each value \(tsv: default 9\)/);
    const llama = join(ROOT, 'test/reference/llama');
    const args = ['export', llama, '--to', 'tsv', '--out', place('weights.tsv')];
    const { code, stderr, stdout } = await ropewalk(...args, '--digits', '4', '--json');
    expect(code, stderr).toBe(0);
    const rows = readFileSync(place('weights.tsv'), 'utf8').trimEnd().split('\n');
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ format: 'tsv', files: [{ name: 'weights.tsv', bytes: rows.join('\n').length + 1 }] },
    });
    const opened = await openModel(llama);
    expect(rows.map((row) => row.split('\t')[0])).toEqual([...opened.model.parameters().keys()]);
    const [name, shape, first] = rows[0]!.split('\t');
    const values = await opened.checkpoint.tensors.readFloat32(name!);
    expect([shape, first]).toEqual(['96x32', values[0]!.toPrecision(4)]);
    await opened.checkpoint.tensors.close();
    expect(refusal(await ropewalk(...args, '--type', 'q8_0'))).toMatch(
      /--type: table of weights has no such option; leave it out, or choose --to gguf\./,
    );
  });
});
