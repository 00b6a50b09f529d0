import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { familyByName } from '../families/registry.ts';
import { frozenBy, matchesPattern } from './freeze.ts';

describe('a name pattern', () => {
  it.each([
    ['model.layers.0.*', 'model.layers.0.mlp.up_proj.weight', true],
    ['model.layers.1.*', 'model.layers.10.mlp.up_proj.weight', false],
    ['*norm*', 'model.layers.3.input_layernorm.weight', true],
    ['model.layers.?.*', 'model.layers.12.mlp.weight', false],
    ['*.weight', 'a.bias', false],
    ['', '', true],
    ['*', '', true],
    ['a', 'ab', false],
  ])('%j matches %j: %s', (pattern, name, fits) => expect(matchesPattern(pattern, name)).toBe(fits));

  it('matches what the equivalent regular expression matches', () => {
    const texts = fc.string({ unit: fc.constantFrom('a', 'b', '.') });
    const patterns = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?') });
    fc.assert(
      fc.property(patterns, texts, (pattern, text) => {
        const source = pattern.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.');
        expect(matchesPattern(pattern, text)).toBe(new RegExp(`^${source}$`).test(text));
      }),
    );
  });
});

it('freezing finds a tied weight by any of its names', () => {
  const family = familyByName('gpt2');
  const model = family.build({ ...family.presets.tiny!.config });
  const [first] = model.parameters().keys();
  for (const pattern of ['lm_head.weight', '*wte*']) {
    const trains = frozenBy(model, [pattern]);
    expect([...model.parameters().keys()].filter((path) => !trains(path))).toEqual([first]);
  }
});
