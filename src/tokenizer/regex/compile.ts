import type { Component, JsonPattern } from '../component.ts';
import { escapePattern } from '../unicode/text.ts';
import { dangerOf } from './danger.ts';
import { parseRegex } from './parse.ts';
import { RegexProblem } from './syntax.ts';
import { translateRegex } from './translate.ts';

/** Patterns of published tokenizers are a few hundred characters long. */
const MAX_LENGTH = 20_000;

/**
 * A pattern of tokenizer.json as a global regular expression with the same matches as in the Rust library.
 *
 * @throws RopewalkError naming the field, for one that has no exact counterpart or unbounded running time
 */
export function compilePattern(pattern: JsonPattern, component: Component, field: string): RegExp {
  if ('String' in pattern) return new RegExp(escapePattern(pattern.String), 'gu');
  const { Regex: source } = pattern;
  const at = `${field}.Regex`;
  if (source.length > MAX_LENGTH) component.fail(`has ${source.length} characters`, at);
  try {
    const parsed = parseRegex(source);
    const danger = dangerOf(parsed);
    if (danger) {
      component.fail(
        `is a regular expression whose running time is not bounded: ${danger}; use the tokenizer.json of a model that you trust`,
        at,
      );
    }
    return translateRegex(parsed);
  } catch (error) {
    if (!(error instanceof RegexProblem)) throw error;
    return component.fail(`is a regular expression that Ropewalk cannot run exactly: ${error.message}`, at);
  }
}
