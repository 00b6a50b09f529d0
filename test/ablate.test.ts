import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ABLATION_FILE, ablate } from '../src/ablate/ablate.node.ts';
import { runRung } from '../src/ablate/ablate.ts';
import { ablationSvg, drawAblation } from '../src/ablate/drawing.ts';
import { confidence } from '../src/ablate/interval.ts';
import { ladder, partsAsChanges } from '../src/ablate/ladder.ts';
import { ablationNotes, ablationRows } from '../src/ablate/presentation.ts';
import { type AblationSettings, readAblation } from '../src/ablate/result.ts';
import { families, findPreset } from '../src/families/registry.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { buildProgram, ropewalk, startSignalled } from './helpers/cli.node.ts';
import { scratch } from './helpers/models.node.ts';

describe('the ablation ladder', () => {
  it('goes from GPT to Llama 3 by single changes', () => {
    const { rungs, rest } = ladder('gpt', 'llama3');
    expect(rungs.map(({ change }) => change)).toEqual([
      null,
      'positions=rotary',
      'norm=RMSNorm',
      'kvHeads=2',
      'activation=silu',
      'gated=true',
      rest.join(', '),
    ]);
    expect(rungs[2]!.name).toBe('gpt/tiny+positions=rotary,norm=RMSNorm');
    expect(rungs.at(-1)!.name).toBe('llama/tiny');
    expect(rest).toContain('layer.mlp.hidden');
  });

  it('finds caps, windows and norms behind branches', () => {
    const changes = ladder('gemma', 'gemma2').rungs.map(({ change }) => change);
    expect(changes).toEqual(
      expect.arrayContaining([
        'layerNorms=both',
        'window=32,globalEvery=2',
        'attentionCap=50',
        'finalCap=30',
      ]),
    );
  });

  it('covers the parts of every family, and builds each rung', () => {
    for (const from of families) {
      for (const to of families) {
        if (from === to) continue;
        const { rungs, rest } = ladder(from.name, to.name);
        const found = findPreset(rungs.at(rest.length > 0 ? -2 : -1)!.name)!;
        const reached = partsAsChanges(found.family.parts(found.preset.config));
        const target = findPreset(`${to.name}/tiny`)!;
        expect(reached, `${from.name} to ${to.name}`).toEqual(
          partsAsChanges(target.family.parts(target.preset.config)),
        );
        expect(new Set(rungs.map(({ name }) => name)).size).toBe(rungs.length);
      }
    }
  });

  it('refuses an unknown family', () => {
    expect(() => ladder('gpt', 'mamba')).toThrow(/there is no family "mamba"; the families are gpt, /);
    expect(() => ladder('llama3', 'llama')).toThrow(/name two different families/);
  });
});

describe('the confidence interval', () => {
  // Student's t from mpmath 1.3: betainc, solved for 97.5 %, times the standard error.
  it.each([
    [[1, 2], 1.5, 6.3531023681],
    [[3.1, 3.3, 2.9], 3.1, 0.4968275424],
    [[4, 4.2, 3.9, 4.1, 4.05], 4.05, 0.1388222553],
  ])('of %j agrees with mpmath', (values, mean, margin) => {
    const interval = confidence(values);
    expect(interval.mean).toBeCloseTo(mean, 10);
    expect(interval.margin! / margin).toBeCloseTo(1, 3);
  });

  it('is left out for a single value', () => expect(confidence([2])).toEqual({ mean: 2, margin: null }));
});

describe('an ablation', () => {
  const { folder, remove } = scratch('ablate');
  afterAll(remove);
  const tokens = Int32Array.from({ length: 3000 }, (_, i) => (i * i + 3 * i) % 61);
  const corpus = { training: tokens.subarray(0, 2600), validation: tokens.subarray(2600), vocabSize: 64 };
  const settings: AblationSettings = {
    ...{ from: 'gpt', to: 'gpt2', seeds: [0, 1], shape: { batch: 2, seq: 16 }, weightDecay: 0 },
    training: {
      ...{ steps: 3, accumulate: 1, lr: 1e-3, schedule: 'constant' },
      ...{ warmup: 0, clip: 1 },
    },
  };
  const engine = nodeEngine({ threads: 1 });

  it('leaves out a run that is interrupted between its steps', async () => {
    const controller = new AbortController();
    const [name] = ladder('gpt', 'gpt2').rungs.map((rung) => rung.name);
    controller.abort();
    expect(await runRung(engine, name!, corpus, settings, 0, controller.signal)).toBeUndefined();
  });

  it('trains every rung with every seed, and resumes where it was stopped', async () => {
    const controller = new AbortController();
    const names: string[] = [];
    const onRun = (name: string) => {
      names.push(name);
      if (names.length === 3) controller.abort();
    };
    const stopped = await ablate(engine, folder, corpus, settings, { signal: controller.signal, onRun });
    expect(stopped).toBeUndefined();
    const done = JSON.parse(readFileSync(join(folder, 'runs.json'), 'utf8')).runs.length;
    expect(done).toBe(2);
    const result = (await ablate(engine, folder, corpus, settings, { onRun }))!;
    const { rungs } = ladder('gpt', 'gpt2');
    // The interrupted run begins anew.
    expect(names.length).toBe(2 * rungs.length + 1);
    expect(result.rungs.map(({ name }) => name)).toEqual(rungs.map(({ name }) => name));
    const [first, second] = result.rungs;
    expect([first!.lossChange, first!.speedChange]).toEqual([null, null]);
    expect(second!.lossChange!.mean).toBeCloseTo(second!.loss.mean - first!.loss.mean, 10);
    const speedOf = (rung: number, seed: number) =>
      result.runs.find((run) => run.rung === rung && run.seed === seed)!.tokensPerSecond;
    const ratios = [0, 1].map((seed) => speedOf(1, seed) / speedOf(0, seed) - 1);
    expect(second!.speedChange).toEqual(confidence(ratios));
    const text = readFileSync(join(folder, ABLATION_FILE), 'utf8');
    expect(readAblation(text, ABLATION_FILE)).toEqual(JSON.parse(JSON.stringify(result)));
    expect(existsSync(join(folder, ABLATION_FILE))).toBe(true);
    expect(ablationRows(result, 'ko').rows.length).toBe(rungs.length);
    expect(drawAblation(result).content.markup).toContain('positions=learned');
    expect(ablationSvg(result, 'ko')).toContain('<title id="title">gpt → gpt2</title>');
    expect(ablationNotes(result, 'en').join()).toContain('95 % confidence interval over 2 seeds');
    const other = { ...settings, seeds: [0] };
    await expect(ablate(engine, folder, corpus, other)).rejects.toThrow(/other settings/);
  });
});

describe('the JSON of an ablation', () => {
  const interval = { mean: 3, margin: 0.1 };
  const rung = {
    ...{ name: 'gpt/tiny', change: null, parameters: 5, cacheBytes: 7, loss: interval, lossChange: null },
    ...{ tokensPerSecond: interval, speedChange: null },
  };
  const whole = {
    settings: {
      ...{ from: 'gpt', to: 'llama3', seeds: [0], shape: { batch: 1, seq: 1 }, weightDecay: 0 },
      training: { steps: 1, accumulate: 1, lr: 1, schedule: 'cosine', warmup: 0, clip: 1 },
    },
    ...{ rungs: [rung], rest: [], runs: [] },
  };

  it('is read when it is whole', () => {
    expect(readAblation(JSON.stringify(whole), 'a.json')).toEqual(whole);
  });

  it.each([
    ['half of it', JSON.stringify(whole).slice(0, 90), /a\.json: it is not JSON/],
    ['another JSON', '{"model_type":"gpt"}', /the field "settings" is not what/],
    ['a list', '[]', /its content is not what/],
    ['no model', JSON.stringify({ ...whole, rungs: [] }), /the field "rungs" .*no model/],
    [
      'a text for a number',
      JSON.stringify({ ...whole, rungs: [{ ...rung, loss: 'x' }] }),
      /"rungs\.0\.loss"/,
    ],
    ['a number that is none', JSON.stringify(whole).replace('0.1', '1e999'), /"rungs\.0\.loss\.margin"/],
    ['a bomb', JSON.stringify({ ...whole, rungs: Array(101).fill(rung) }), /the field "rungs"/],
  ])('is refused by the name of its field: %s', (_, text, message) => {
    expect(() => readAblation(text, 'a.json')).toThrow(message);
    expect(() => readAblation(text, 'a.json')).toThrow(/give a file that "ropewalk ablate" wrote/);
  });
});

describe('ropewalk ablate', () => {
  const { folder, remove } = scratch('ablate-cli');
  afterAll(remove);
  const out = join(folder, 'out');
  const flags = ['ablate', '--from', 'llama', '--to', 'qwen2', '--steps', '2', '--seeds', '2'];
  const args = [...flags, '--threads', '1', '--out', out, '--locale', 'en'];

  it('is interrupted, resumes, and gives table, picture and JSON', async () => {
    const program = await buildProgram('bin/ropewalk.js');
    const stopped = await startSignalled(program, args, /runs\.json$/).finished;
    expect(stopped.code, stopped.stderr).toBe(130);
    expect(stopped.stderr).toContain('the same command resumes');
    const before = JSON.parse(readFileSync(join(out, 'runs.json'), 'utf8')).runs;
    expect(before.length).toBe(1);
    const { code, stdout, stderr } = await ropewalk(args);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/│ llama\/tiny +│ \d\.\d{3} ± \d\.\d{3} +│ +│ [\d,]+ ± [\d,]+ +│ +│ 384 KiB/);
    expect(stdout).toMatch(/│ qwen2\/tiny \* +│ .* │ [+−]\d\.\d{3} ± \d\.\d{3}/);
    expect(stdout).toContain('95 % confidence interval over 2 seeds');
    expect(stdout).toContain('layer.attention.bias');
    const result = readAblation(readFileSync(join(out, ABLATION_FILE), 'utf8'), ABLATION_FILE);
    expect(result.runs[0]).toEqual(before[0]);
    expect(result.runs.length).toBe(4);
    const picture = readFileSync(join(out, 'ablation.svg'), 'utf8');
    expect(picture).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" .*qwen2\/tiny/s);
    // Nothing is trained again.
    const json = await ropewalk([...args, '--json']);
    expect(readAblation(json.stdout, 'stdout')).toEqual(result);
    const korean = await ropewalk([...args, '--locale', 'ko']);
    expect(korean.stdout).toContain('검증 손실');
    expect(korean.stdout).toContain('신뢰 구간');
  });

  it.each([
    ['a family that there is not', ['--from', 'mamba'], /there is no family "mamba"; the families are gpt, /],
    ['a family and itself', ['--to', 'llama3'], /name two different families \(--from, --to\)/],
    ['no steps', ['--steps', '0'], /--steps/],
    ['no seeds', ['--seeds', 'x'], /--seeds/],
    ['other settings', ['--steps', '3'], /other settings.*--fresh.*--out/],
    ['a file as its folder', ['--out', join(out, 'runs.json')], /runs\.json/],
  ])('refuses %s', async (_, more, message) => {
    const { code, stdout, stderr } = await ropewalk([...args, ...more]);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n +at /);
  });

  it('refuses stored runs that have been damaged; --fresh starts over', async () => {
    writeFileSync(join(out, 'runs.json'), '{"settings": 5}');
    const refused = await ropewalk(args);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/runs\.json: the field "settings/),
    ]);
    expect(refused.stderr).toContain('--fresh');
    const again = await ropewalk([...args, '--fresh', '--seeds', '1']);
    expect(again.code, again.stderr).toBe(0);
    expect(again.stdout).toContain('One seed has no confidence interval');
  });
});
