import { describe, expect, it } from 'vitest';
import { cpuSeconds } from '../../../test/helpers/work.node.ts';
import { dangerOf } from './danger.ts';
import { parseRegex } from './parse.ts';
import { RegexProblem } from './syntax.ts';

/** Why a pattern is not run: what it could take, or what it is not. */
function problemOf(source: string): string | undefined {
  try {
    return dangerOf(parseRegex(source));
  } catch (error) {
    if (error instanceof RegexProblem) return error.message;
    throw error;
  }
}

/** Pre-tokenizers of published models, as their tokenizer.json files have them. */
const PUBLISHED = {
  'GPT-2': String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  'Llama 3': String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  'cl100k, possessive': String.raw`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`,
  o200k: String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  'Qwen 2': String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  DeepSeek: String.raw`[\r\n]|\s?[A-Za-zµÀ-ÖØ-öø-ƺ]+|\s?[!-/:-~]+|\s+$|[一-龥ࠀ-一가-퟿]+|\p{N}`,
  'digits of three': String.raw`\d{1,3}(?=(?:\d{3})*\b)`,
  spaces: ' {2,}',
};

describe('the check of regular expressions from files', () => {
  it.each(Object.entries(PUBLISHED))('accepts the published pattern of %s', (_name, source) => {
    expect(problemOf(source)).toBeUndefined();
  });

  it.each([
    ['(a+)+$', /nests unbounded repetitions/],
    ['(?:a*)*b', /nests unbounded repetitions/],
    [String.raw`(\p{L}*)*x`, /nests unbounded repetitions/],
    ['(a|a)*b', /start with the same character/],
    ['(a|ab)*c', /start with the same character/],
    [String.raw`(?:\w|\d)+x`, /start with the same character/],
    ['((a|a))+b', /start with the same character/],
    ['(a?){80}b', /may be empty/],
    ['(?:a?)+b', /may be empty/],
    ['(?:(?=a))*b', /may be empty/],
    ['a*a*a*a*b', /more than 3 unbounded repetitions/],
    [String.raw`(a)\1`, /backreference/],
    [String.raw`(?<x>a)\k<x>`, /backreference/],
    ['(?<=a+)b', /unbounded lookbehind/],
    ['(?:a{2,}){2,}', /nests unbounded repetitions/],
    ['('.repeat(60) + ')'.repeat(60), /nested more than/],
    ['(a', /unmatched "\("/],
    ['a)', /unmatched "\)"/],
    ['[a', /unmatched "\["/],
    ['a*(?:a*a*a*)b', /more than 3 unbounded repetitions/],
    ['a*(?i)-*-*-*b', /more than 3 unbounded repetitions/],
    [`${'['.repeat(9000)}a${']'.repeat(9000)}`, /nested more than/],
    [String.raw`\p{N}{1,3}+`, /after a counted repetition/],
    ['(?~x)', /unknown kind/],
  ])('refuses %s', (source, why) => {
    expect(problemOf(source)).toMatch(why);
  });

  it.each(['(a+)+$', '(a|a)*b', String.raw`(?:\w|a)+x`])(
    'refuses patterns that are in fact exponentially slow: %s',
    (source) => {
      // Doubling the time with every letter: from 14 to 22 letters 256-fold, of which a sixteenth is proof enough.
      const pattern = new RegExp(source, 'u');
      const time = (letters: number) => cpuSeconds(() => pattern.test(`${'a'.repeat(letters)}!`));
      time(14); // the first time it is compiled
      expect(time(22)).toBeGreaterThan(16 * time(14));
    },
  );
});
