import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { saveModelDirectory } from '../src/checkpoint/save.node.ts';
import { RopewalkError } from '../src/errors.ts';
import { exportGguf } from '../src/export/gguf.node.ts';
import { exportHuggingFace } from '../src/export/hf.node.ts';
import type { Family } from '../src/families/family.ts';
import { initializeWeights } from '../src/families/initialize.ts';
import {
  familyByName,
  findPreset,
  modelFromConfig,
  presetNames,
  registerFamily,
} from '../src/families/registry.ts';
import { load } from '../src/generation/load.node.ts';
import { loadHere } from '../src/generation/load-here.node.ts';
import { compare } from '../src/inspect/compare.ts';
import { blockDiagram } from '../src/inspect/diagram.ts';
import { namedPreset } from '../src/inspect/named-model.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { createLearner } from '../src/training/create-learner.ts';
import { AdamW } from '../src/training/optimizers/optimizer.ts';
import { addTinyTokenizer } from './helpers/changed-gguf.node.ts';
import { relativeError } from './helpers/numbers.ts';
import { type ToyConfig, toy } from './helpers/toy-family.ts';
import { toyLogits } from './helpers/toy-logits.ts';
import { cachedLogitsOf, withModel } from './helpers/variants.node.ts';

/** A family that is none of Ropewalk's own does what they do, from one file. */

const home = mkdtempSync(join(tmpdir(), 'ropewalk-own-family-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
let count = 0;
const place = (name: string) => join(home, `${count++}-${name}`);
const IDS = [5, 17, 99, 3, 256, 42, 7, 7, 200, 12];

let takeOut = () => {};
beforeEach(() => {
  takeOut = registerFamily(toy);
});
afterEach(() => takeOut());

/** A model of random weights in a folder, with a tokenizer that fits. */
async function saved(change: Partial<ToyConfig> = {}): Promise<string> {
  const config = { ...toy.presets['toy-small']!.config, ...change };
  // Norms too are random, so that a mistake in one shows.
  const random = new Random(4);
  const tensors = [...toy.build(config).parameters()].map(([name, { shape, size }]) => {
    return { name, shape, data: Float32Array.from({ length: size }, () => random.next() - 0.5) };
  });
  const folder = place('model');
  await saveModelDirectory(folder, { config: toy.writeConfig(config), tensors });
  addTinyTokenizer(folder);
  return folder;
}

const weightsOf = (path: string) =>
  withModel(path, async ({ model, names, checkpoint }) => {
    const weights = new Map<string, Float32Array>();
    for (const name of model.parameters().keys())
      weights.set(name, await checkpoint.tensors.readFloat32(names.get(name)!));
    return weights;
  });

describe('a family registered by a program', () => {
  it('is compared, drawn and exchanged like any other', () => {
    const rows = compare(['toy', 'llama'].map((name) => namedPreset(name)!));
    expect(Object.fromEntries(rows.map(({ feature, values }) => [feature, values.toy]))).toMatchObject({
      'Position encoding': 'RoPE',
      Normalization: 'LayerNorm',
      Attention: 'multi-query attention',
      Activation: 'SiLU',
      // 300 words of 32 numbers, two layers of 11,008, a norm.
      Parameters: '31,680',
      Layers: '2',
      'Size shown': 'toy-small',
    });
    expect(
      blockDiagram(
        ['toy', 'llama'].map((name) => namedPreset(name)!),
        'en',
      ),
    ).toContain('Toy');
    expect(presetNames()).toContain('toy-small');
    const exchanged = findPreset('toy-small+norm=RMSNorm')!;
    expect(exchanged.family.build(exchanged.preset.config).parameters().size).toBeGreaterThan(0);
  });

  it('gives the logits of a forward pass by hand in float64, with and without a cache', async () => {
    for (const tie_word_embeddings of [true, false]) {
      const path = await saved({ tie_word_embeddings });
      await withModel(path, async (opened) => {
        const expected = toyLogits(opened.config as ToyConfig, await weightsOf(path), IDS);
        for (const sizes of [[10], [3, 1]])
          expect(relativeError(await cachedLogitsOf(opened, sizes, IDS), expected)).toBeLessThan(2e-6);
      });
    }
  });

  it('trains with falling loss', async () => {
    const model = toy.build(toy.presets['toy-small']!.config);
    const engine = nodeEngine({ threads: 1 });
    const learner = await createLearner(engine, model, { batch: 2, seq: 16 }, {});
    await learner.fill((values) => initializeWeights(model.parameters(), values, new Random(1)));
    const optimizer = new AdamW(learner.parameters as ConstructorParameters<typeof AdamW>[0], {});
    const ids = Int32Array.from({ length: 32 }, (_, i) => (i * 7) % 20);
    const targets = ids.map((id) => (id + 7) % 20);
    const losses: number[] = [];
    for (let step = 0; step < 40; step++) {
      const settings = { optimizer, learningRate: 0.01, clip: 1 };
      losses.push((await learner.step([{ inputs: ids, targets }], settings)).loss);
    }
    await learner.release();
    expect(losses[0]!).toBeGreaterThan(5);
    expect(losses.at(-1)!).toBeLessThan(0.5);
  });

  it('goes to GGUF and back to the same bits', async () => {
    for (const tie_word_embeddings of [true, false]) {
      const path = await saved({ tie_word_embeddings });
      const gguf = `${place('model')}.gguf`;
      await withModel(path, (opened) => exportGguf(opened, gguf, { type: 'f32' }));
      const back = place('back');
      await withModel(gguf, async (opened) => {
        expect(opened.family.name).toBe('toy');
        const ids = { eos_token_id: [], pad_token_id: null, initializer_range: 0.07 };
        // What ids mean comes from the tokenizer.
        expect({ ...opened.config, ...ids }).toEqual(await openedConfig(path));
        await exportHuggingFace(opened, back);
      });
      const [before, after] = [await weightsOf(path), await weightsOf(back)];
      expect([...after.keys()]).toEqual([...before.keys()]);
      for (const [name, value] of before) expect(after.get(name), name).toEqual(value);
    }
  });

  it('is removed by the function that registering it returned', () => {
    takeOut();
    takeOut();
    const raw = { model_type: 'toy' };
    expect(() => modelFromConfig(raw, 'config.json')).toThrow(/model_type "toy" is not supported/);
    expect(() => familyByName('toy')).toThrow(/no family "toy"/);
    expect(presetNames()).not.toContain('toy-small');
  });

  it('loads in this thread, and in a thread that has not registered it an error says how', async () => {
    const path = await saved();
    const here = await loadHere(path, { threads: 1 });
    expect(here.family.name).toBe('toy');
    await here.release();
    await expect(load(path)).rejects.toThrow(/model_type "toy".*node --import.*loadHere/);
  });
});

const openedConfig = (path: string) => withModel(path, ({ config }) => config);

describe('registerFamily', () => {
  it.each<[string, Partial<Family>, RegExp]>([
    ['a name that is taken', {}, /"toy" cannot be registered: there is already a family with that name/],
    ['an alias that is taken', { name: 'llama3' }, /there is already a family with that name/],
    ['a name with a plus', { name: 'toy+big' }, /its name must be letters, digits/],
    ['a model type that is taken', { name: 'other', modelType: 'llama' }, /with the modelType "llama"/],
    ['the type of a multimodal model', { name: 'other', modelType: 'gemma3' }, /with the modelType "gemma3"/],
    [
      'a default preset that is not there',
      { name: 'other', modelType: 'other', defaultPreset: 'big' },
      /defaultPreset "big"/,
    ],
    [
      'a preset that is taken',
      { name: 'other', modelType: 'other' },
      /there is already a preset "toy-small"/,
    ],
  ])('refuses %s', (_, change, message) => {
    const family = { ...(toy as unknown as Family), ...change };
    expect(() => registerFamily(family)).toThrow(RopewalkError);
    expect(() => registerFamily(family)).toThrow(message);
  });
});
