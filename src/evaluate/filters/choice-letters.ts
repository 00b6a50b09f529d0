import { PythonRegex } from '../python/regex.ts';
import { strip } from '../python/text.ts';

export interface ChoiceLetterSettings {
  readonly ignoreCase: boolean;
  readonly ignorePunctuation: boolean;
  readonly regexesToIgnore: readonly PythonRegex[];
  /** Which of several matches to take. */
  readonly group: number;
}

/**
 * Finds which choice a text names, like `multi_choice_regex` of the harness when its pattern finds nothing: by the
 * text of a choice, otherwise by a letter after a colon.
 *
 * @returns `(A)`, `(B)` …; or an empty text.
 */
export function choiceLetters(
  settings: ChoiceLetterSettings,
): (text: string, choices: readonly string[]) => string {
  const plain = (text: string) => {
    let result = text;
    for (const pattern of settings.regexesToIgnore) result = pattern.replace(result, '');
    if (settings.ignoreCase) result = result.toLowerCase();
    return settings.ignorePunctuation ? result.replace(/\p{P}/gu, '') : result;
  };
  const chosen = (found: readonly (string | string[])[]) => {
    const match = found.at(settings.group);
    return typeof match === 'string' ? strip(match) : '';
  };
  return (text, choices) => {
    if (choices.length === 0) return '';
    const names = choices.map((choice) => plain(strip(choice)));
    const letters = new Map(names.map((name, i) => [name, letter(i)]));
    // Longer ones first, since one may be a prefix of another.
    const longest = [...names.map(escaped)].sort((a, b) => [...b].length - [...a].length);
    const byText = chosen(new PythonRegex(longest.join('|')).findAll(plain(text)));
    if (byText !== '') return letters.get(byText) ?? byText;
    const alternatives = choices.map((_, i) => String.fromCharCode(65 + i));
    const byLetter = chosen(new PythonRegex(`:[\\s]*(${alternatives.map(escaped).join('|')})`).findAll(text));
    return byLetter === '' ? '' : `(${byLetter})`;
  };
}

const letter = (i: number) => `(${String.fromCharCode(65 + i)})`;

/** `re.escape`. */
function escaped(text: string): string {
  return text.replace(/[()[\]{}?*+\-|^$\\.&~# \t\n\r\v\f]/g, '\\$&');
}
