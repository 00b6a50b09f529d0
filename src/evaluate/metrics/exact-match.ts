import { PythonRegex, RegexError } from '../python/regex.ts';
import type { FieldReader } from '../tasks/field-reader.ts';

/** What the comparison of two texts ignores. */
export interface ExactMatchSettings {
  readonly regexesToIgnore: readonly PythonRegex[];
  readonly ignoreCase: boolean;
  readonly ignorePunctuation: boolean;
  readonly ignoreNumbers: boolean;
}

/** @throws RopewalkError naming an unknown setting. */
export function readExactMatch(entry: FieldReader): ExactMatchSettings {
  const patterns = entry.list('regexes_to_ignore') ?? [];
  return {
    regexesToIgnore: patterns.map((pattern) => {
      try {
        return new PythonRegex(String(pattern));
      } catch (error) {
        if (!(error instanceof RegexError)) throw error;
        return entry.refuse('regexes_to_ignore', `${JSON.stringify(pattern)}: ${error.message}`);
      }
    }),
    ignoreCase: entry.flag('ignore_case') ?? false,
    ignorePunctuation: entry.flag('ignore_punctuation') ?? false,
    ignoreNumbers: entry.flag('ignore_numbers') ?? false,
  };
}

/** Python's `string.punctuation`, which is ASCII's. */
const PUNCTUATION = /[!-/:-@[-`{-~]/g;

/**
 * Whether a text is the expected one, as `exact_match` of Hugging Face's `evaluate` compares them. It removes, in this
 * order, patterns, case, punctuation and the digits 0 to 9.
 */
export function exactMatch(given: string, expected: string, settings: ExactMatchSettings): boolean {
  return normalized(given, settings) === normalized(expected, settings);
}

function normalized(text: string, settings: ExactMatchSettings): string {
  let result = text;
  for (const pattern of settings.regexesToIgnore) result = pattern.replace(result, '');
  if (settings.ignoreCase) result = result.toLowerCase();
  if (settings.ignorePunctuation) result = result.replace(PUNCTUATION, '');
  if (settings.ignoreNumbers) result = result.replace(/[0-9]/g, '');
  // A numpy array of texts drops NULs at their ends.
  return result.replace(/\0+$/, '');
}
