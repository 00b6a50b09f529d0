import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ABLATION_FILE, ablate } from '../src/ablate/ablate.node.ts';
import type { AblationSettings } from '../src/ablate/ablate.ts';
import { confidence } from '../src/ablate/interval.ts';
import { ladder, partsAsChanges } from '../src/ablate/ladder.ts';
import { ablationRows, drawAblation } from '../src/ablate/presentation.ts';
import { families, findPreset } from '../src/families/registry.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
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
    expect(() => ladder('gpt', 'mamba')).toThrow(/there is no family "mamba"/);
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
    expect(done).toBe(3);
    const result = (await ablate(engine, folder, corpus, settings, { onRun }))!;
    const { rungs } = ladder('gpt', 'gpt2');
    expect(names.length).toBe(2 * rungs.length);
    expect(result.rungs.map(({ name }) => name)).toEqual(rungs.map(({ name }) => name));
    expect(result.rungs[0]!.gain).toBeNull();
    const [first, second] = result.rungs;
    expect(second!.gain!.mean).toBeCloseTo(second!.loss.mean - first!.loss.mean, 10);
    expect(existsSync(join(folder, ABLATION_FILE))).toBe(true);
    expect(ablationRows(result, 'ko').rows.length).toBe(rungs.length);
    expect(drawAblation(result).content.markup).toContain('positions=learned');
    const other = { ...settings, seeds: [0] };
    await expect(ablate(engine, folder, corpus, other)).rejects.toThrow(/other settings/);
  });
});
