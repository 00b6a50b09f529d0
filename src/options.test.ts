import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { camel, count, kebab, listed, OptionError, oneOf, option, parseOptions, wordsOf } from './options.ts';

const shape = {
  steps: option(count, 'how many', { value: 'n' }),
  kind: option(oneOf(['a', 'b', 'c']), 'which'),
  hidden: count,
};

describe('the schemas of options', () => {
  it('keep their descriptions when wrapped, separately from others of the same type', () => {
    expect(wordsOf(shape.steps)).toEqual({ help: 'how many', value: 'n' });
    expect(wordsOf(shape.steps.optional().default(3))).toEqual({ help: 'how many', value: 'n' });
    expect(wordsOf(shape.hidden)).toBeUndefined();
    expect(wordsOf(count)).toBeUndefined();
  });

  it.each<[object, string, RegExp]>([
    [{ steps: 0 }, 'steps', /^steps: give a whole number of at least 1, not 0\.$/],
    [{ steps: 'many' }, 'steps', /^steps: give a whole number of at least 1, not "many"\.$/],
    [{ kind: 'd' }, 'kind', /^kind: give a, b or c, not "d"\.$/],
    [{ maxSteps: 1 }, 'maxSteps', /^maxSteps: there is no such option; there are hidden, kind, steps\.$/],
  ])('refuse impossible values by name: %o', (input, name, message) => {
    const parse = () => parseOptions(z.strictObject(shape).partial(), input);
    expect(parse).toThrow(message);
    expect(parse).toThrow(expect.objectContaining({ constructor: OptionError, option: name }));
  });

  it('treat undefined as absent', () => {
    expect(parseOptions(z.strictObject(shape).partial(), { steps: 2, kind: undefined })).toEqual({
      steps: 2,
    });
  });

  it('spell names in camelCase for programs and in kebab-case for the command line', () => {
    expect(kebab('minLrRatio')).toBe('min-lr-ratio');
    expect(camel('min-lr-ratio')).toBe('minLrRatio');
    expect(['a', 'a b', 'a b c'].map((words) => listed(words.split(' ')))).toEqual([
      'a',
      'a or b',
      'a, b or c',
    ]);
  });
});
