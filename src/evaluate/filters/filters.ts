import { PythonRegex, RegexError } from '../python/regex.ts';
import { strip } from '../python/text.ts';
import { type Doc, isList } from '../python/values.ts';
import type { FieldReader } from '../tasks/field-reader.ts';
import { choiceLetters } from './choice-letters.ts';

/** A generated text, before or after filters. */
export type Filtered = string | number | boolean | null;

/**
 * Changes the answers to one request, or picks one of them. There are several if the task repeats requests.
 *
 * @param doc the row of the request.
 */
export type Filter = (answers: readonly Filtered[], doc: Doc) => Filtered | readonly Filtered[];

const USUAL_PATTERN = '#### (\\-?[0-9\\.\\,]+)';
const INVALID = '[invalid]';

type Read = (settings: FieldReader) => Filter;

const onText =
  (change: (text: string) => string): Read =>
  () =>
  (answers) =>
    answers.map((answer) => change(String(answer ?? '')));

/** The harness's filters that need no Python. */
const FILTERS: Readonly<Record<string, Read>> = {
  take_first: () => (answers) => answers[0]!,
  take_first_k: (settings) => {
    const k = settings.count('k') ?? settings.refuse('k', 'it is missing: say how many');
    return (answers) => answers.slice(0, k);
  },
  majority_vote: () => (answers) => {
    const counts = new Map<Filtered, number>();
    for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1);
    // The first of equally frequent ones, as in Python's Counter.
    return [[...counts].reduce((best, one) => (one[1] > best[1] ? one : best))[0]];
  },
  lowercase: onText((text) => text.toLowerCase()),
  uppercase: onText((text) => text.toUpperCase()),
  remove_whitespace: onText(strip),
  regex: (settings) => {
    const { find, fallback } = readRegex(settings);
    return (answers) => answers.map((answer) => find(typeof answer === 'string' ? answer : '') ?? fallback);
  },
  multi_choice_regex: (settings) => {
    const { find, fallback } = readRegex(settings);
    const letters = choiceLetters({
      ignoreCase: settings.flag('ignore_case') ?? false,
      ignorePunctuation: settings.flag('ignore_punctuation') ?? false,
      regexesToIgnore: (settings.list('regexes_to_ignore') ?? []).map((one) =>
        regexOf(settings, 'regexes_to_ignore', String(one)),
      ),
      group: settings.number('group_select') ?? 0,
    });
    return (answers, doc) => {
      const choices = doc.choices;
      const texts = isList(choices) ? choices.map(String) : [];
      return answers.map((answer) => {
        const text = typeof answer === 'string' ? answer : '';
        return find(text, true) || letters(text, texts) || fallback;
      });
    };
  },
  map: (settings) => {
    const mapping = settings.mapping('mapping_dict') ?? {};
    const otherwise = (settings.value('default_value') ?? null) as Filtered;
    return (answers) =>
      answers.map((answer) =>
        typeof answer === 'string' && Object.hasOwn(mapping, answer)
          ? (mapping[answer] as Filtered)
          : otherwise,
      );
  },
};

/** The filters that apply to log-likelihoods. */
const OF_SCORES = ['take_first'];

/** @throws RopewalkError naming a filter that is not supported. */
export function readFilter(settings: FieldReader, isGenerated: boolean): Filter {
  const name = settings.text('function') ?? settings.refuse('function', 'it is missing: name a filter');
  const read = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
  if (!read) {
    settings.refuse('function', `there is no filter ${name} here; known: ${Object.keys(FILTERS).join(', ')}`);
  }
  if (!isGenerated && !OF_SCORES.includes(name)) {
    settings.refuse('function', `${name} changes generated texts, but this task has log-likelihoods`);
  }
  return read(settings);
}

function readRegex(settings: FieldReader) {
  const regex = regexOf(settings, 'regex_pattern', settings.text('regex_pattern') ?? USUAL_PATTERN);
  const group = settings.number('group_select') ?? 0;
  const fallback = settings.text('fallback') ?? INVALID;
  return {
    fallback,
    /**
     * The chosen match, or its first group that is not empty.
     *
     * @param emptyIsNone whether a match with only empty groups counts as none; otherwise the fallback applies.
     */
    find(text: string, emptyIsNone = false): string | undefined {
      const found = regex.findAll(text);
      if (found.length === 0) return undefined;
      const match = found.at(group);
      if (match === undefined) {
        return settings.refuse(
          'group_select',
          `there are ${found.length} matches of ${regex.pattern}, so number ${group} does not exist`,
        );
      }
      if (typeof match === 'string') return strip(match);
      const first = match.find((one) => one !== '');
      if (first === undefined) return emptyIsNone ? '' : fallback;
      return strip(first);
    },
  };
}

function regexOf(settings: FieldReader, field: string, pattern: string): PythonRegex {
  try {
    return new PythonRegex(pattern);
  } catch (error) {
    if (!(error instanceof RegexError)) throw error;
    return settings.refuse(field, `${JSON.stringify(pattern)}: ${error.message}`);
  }
}
