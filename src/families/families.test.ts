import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { RawConfig } from './config.ts';
import { families, familyByName, findPreset, modelFromConfig, presetNames } from './registry.ts';

const reference = fileURLToPath(new URL('../../test/reference/', import.meta.url));

/** Distinct parameters, ties counted once, as their authors and the hub publish them. */
const published: Record<string, number> = {
  gpt2: 124_439_808,
  'gpt2-medium': 354_823_168,
  'gpt2-large': 774_030_080,
  'gpt2-xl': 1_557_611_200,
  'gemma-2b': 2_506_172_416,
  'gemma-7b': 8_537_680_896,
  'gemma-2-2b': 2_614_341_888,
  'gemma-2-9b': 9_241_705_984,
  'gemma-2-27b': 27_227_128_320,
  'llama-3-8b': 8_030_261_248,
  'llama-3-70b': 70_553_706_496,
  'llama-3.1-8b': 8_030_261_248,
  'llama-3.2-1b': 1_235_814_400,
  'llama-3.2-3b': 3_212_749_824,
  'qwen2.5-0.5b': 494_032_768,
  'qwen2.5-1.5b': 1_543_714_304,
  'qwen2.5-3b': 3_085_938_688,
  'qwen2.5-7b': 7_615_616_512,
  'qwen3-0.6b': 596_049_920,
  'qwen3-1.7b': 1_720_574_976,
  'qwen3-4b': 4_022_468_096,
  'qwen3-8b': 8_190_735_360,
  'qwen3-14b': 14_768_307_200,
  'qwen3-32b': 32_762_123_264,
  'gemma-3-270m': 268_098_176,
  'gemma-3-1b': 999_885_952,
  'mistral-7b-v0.1': 7_241_732_096,
  'mistral-7b-v0.3': 7_248_023_552,
  'mistral-nemo-12b': 12_247_782_400,
  'exaone-4.0-1.2b': 1_279_391_488,
  // Its card says 30.95B without the embedding and the head, which are 102,400 × 5,120 each.
  'exaone-4.0-32b': 32_003_216_384,
};

/** The decoder of a paper's translation model alone: there is no published number. */
const UNPUBLISHED = new Set(['gpt-base']);

/** A family is one readable file; the two whose checkpoints are laid out otherwise than all later ones take more. */
const MOST_LINES = 150;
const LONGER = new Set(['gpt', 'gpt2']);

function read(path: string): RawConfig {
  return JSON.parse(readFileSync(path, 'utf8')) as RawConfig;
}

describe('the registered family', () => {
  const folders = readdirSync(reference);
  const ggufNames = read(`${reference}gguf-names.json`);

  it.each(families)('$name has everything that docs/adding-a-family.md requires', (family) => {
    const { name, modelType, presets, gguf } = family;
    const own = folders.filter((folder) => folder.split('-')[0] === name);
    expect(own, 'references').not.toEqual([]);
    for (const folder of own) {
      for (const file of ['config.json', 'model.safetensors', 'expected.json', 'expected.safetensors'])
        expect(existsSync(`${reference}${folder}/${file}`), `${folder}/${file}`).toBe(true);
    }
    expect(
      own.some((folder) => existsSync(`${reference}${folder}/curve.safetensors`)),
      'a curve',
    ).toBe(true);
    if ('none' in gguf) {
      expect(gguf.none.length, 'a word why there is no GGUF').toBeGreaterThan(20);
    } else {
      const rules = new Map(gguf.tensors.map(({ ours, theirs }) => [ours, theirs]));
      const names = ggufNames[modelType] as Record<string, string>;
      // Where llama.cpp has no place for a bias, a model with one is refused when it is written.
      const expected = Object.entries(names).filter(([ours]) => ours.endsWith('.weight'));
      expect(expected.length, 'names of the package gguf').toBeGreaterThan(0);
      for (const [ours, theirs] of expected)
        expect([ours, rules.get(ours.replace('.0.', '.{n}.'))]).toEqual([
          ours,
          theirs.replace('.0.', '.{n}.'),
        ]);
    }
    expect(presets.tiny).toBeDefined();
    expect(presets[family.defaultPreset]).toBeDefined();
    for (const preset of Object.keys(presets)) {
      if (preset === 'tiny' || UNPUBLISHED.has(preset)) continue;
      expect(Object.keys(published), `the count of ${preset}`).toContain(preset);
    }
    expect(typeof family.transformersJs).toBe('boolean');
    const file = readFileSync(new URL(`./${name}.ts`, import.meta.url), 'utf8');
    if (!LONGER.has(name)) expect(file.trimEnd().split('\n').length).toBeLessThanOrEqual(MOST_LINES);
  });
});

describe('the presets', () => {
  it.each(Object.entries(published))('give %s %d parameters', (name, parameters) => {
    const { family, preset } = findPreset(name)!;
    expect(family.build(preset.config).parameterCount()).toBe(parameters);
  });

  it('give all tiny models the same size within 5 %', () => {
    const sizes = families.map((family) => family.build(family.presets.tiny!.config).parameterCount());
    expect(Math.max(...sizes) / Math.min(...sizes)).toBeLessThan(1.05);
  });

  it.each(presetNames())('give %s a config that survives being written and read', (name) => {
    const { family, preset } = findPreset(name)!;
    const written = JSON.parse(JSON.stringify(family.writeConfig(preset.config))) as RawConfig;
    expect(modelFromConfig(written, 'config.json').config).toEqual(preset.config);
  });

  it('belong to families that are also found by their other names', () => {
    expect(familyByName('llama3').name).toBe('llama');
    expect(findPreset('llama3')?.family.name).toBe('llama');
    expect(() => familyByName('lama')).toThrow(/no family "lama"; the families are gpt, gpt2/);
  });
});

describe('reading config.json', () => {
  const cases = readdirSync(reference).filter((name) => existsSync(`${reference}${name}/config.hub.json`));

  it.each(cases)("%s: gives the hub's form the meaning of transformers 5's form", (name) => {
    const current = modelFromConfig(read(`${reference}${name}/config.json`), 'config.json').config;
    const hub = modelFromConfig(read(`${reference}${name}/config.hub.json`), 'config.json').config;
    expect(hub).toEqual(current);
  });

  it('reads a rotary family without rope settings as transformers does, with a warning', () => {
    const { family, preset } = findPreset('llama-3-8b')!;
    const { rope_theta, rope_scaling, rope_parameters, ...raw } = family.writeConfig(preset.config);
    expect([rope_theta, rope_scaling, rope_parameters]).toHaveLength(3);
    const { config, warnings } = modelFromConfig(raw, 'x/config.json');
    expect(config).toMatchObject({ rope_theta: 10000, rope_scaling: null });
    expect(warnings).toEqual([expect.stringMatching(/^x\/config\.json: it has no "rope_theta"/)]);
  });

  it.each(families.map(({ name }) => name))('%s: names a field that is missing or wrong', (name) => {
    const { family, preset } = findPreset(`${name}/tiny`)!;
    const raw = family.writeConfig(preset.config);
    expect(modelFromConfig({ ...raw, vocab_size: undefined }, 'config.json').warnings).toEqual([
      expect.stringMatching(/vocab_size \d+/),
    ]);
    expect(() => modelFromConfig({ ...raw, vocab_size: null }, 'config.json')).toThrow(
      /"vocab_size" is missing/,
    );
    expect(() => modelFromConfig({ ...raw, vocab_size: '7' }, 'config.json')).toThrow(
      /"vocab_size" must be a whole/,
    );
    expect(() => modelFromConfig({ ...raw, vocab_size: -1 }, 'config.json')).toThrow(/"vocab_size"/);
    expect(() => modelFromConfig({ ...raw, model_type: 'bert' }, 'config.json')).toThrow(
      /"bert" is not supported/,
    );
  });
});
