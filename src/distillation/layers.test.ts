import { describe, expect, it } from 'vitest';
import { gemma2 } from '../families/gemma2.ts';
import { families } from '../families/registry.ts';
import { evenLayers, layerPaths, withLayers } from './layers.ts';

describe('choosing layers of a teacher', () => {
  it.each([
    [12, 4, [0, 4, 7, 11]],
    [26, 13, [0, 2, 4, 6, 8, 10, 13, 15, 17, 19, 21, 23, 25]],
    [5, 5, [0, 1, 2, 3, 4]],
    [9, 1, [0]],
    [9, 2, [0, 8]],
  ])('from %i spreads %i evenly', (count, wanted, layers) => {
    expect(evenLayers(count, wanted)).toEqual(layers);
  });

  it.each([0, 6, 1.5])('refuses %d of 5 layers', (wanted) => {
    expect(() => evenLayers(5, wanted)).toThrow(/choose 1 to 5/);
  });

  it.each(families.map((family) => [family.name, family] as const))(
    'finds the layers of %s',
    (_name, family) => {
      const { config } = family.presets.tiny!;
      const model = family.build(config);
      const paths = layerPaths(model);
      expect(paths.length).toBe(model.stages.layers.length);
      const names = [...model.parameters().keys()];
      for (const path of paths) expect(names.some((name) => name.startsWith(path))).toBe(true);
      const some = withLayers(family, config, [1, 3], 'the test');
      expect(family.readConfig(family.writeConfig(some), 'the test')).toEqual(some);
      const smaller = family.build(some);
      expect(layerPaths(smaller)).toEqual(paths.slice(0, 2));
    },
  );

  it('keeps the type of each layer', () => {
    const { layer_types } = withLayers(gemma2, gemma2.presets.tiny!.config, [1, 3, 2], 'the test');
    expect(layer_types).toEqual(['full_attention', 'full_attention', 'sliding_attention']);
  });

  it('names layers that do not exist', () => {
    const { config } = gemma2.presets.tiny!;
    expect(() => withLayers(gemma2, config, [0, 4], 'a/model')).toThrow(
      'a/model: there is no layer 4; its layers are 0 to 3.',
    );
    expect(() => withLayers(gemma2, config, [], 'a/model')).toThrow(/select at least one/);
  });
});
