import { SPACES } from '../../jinja/parsing/lexer.ts';

/** A character, by its code point. */
export type CharacterTest = (code: number) => boolean;

/** A part of a regular expression. */
export type RegexNode =
  | { readonly type: 'character'; readonly test: CharacterTest }
  | { readonly type: 'sequence'; readonly parts: readonly RegexNode[] }
  | { readonly type: 'choice'; readonly options: readonly RegexNode[] }
  | { readonly type: 'group'; readonly index: number; readonly body: RegexNode }
  | {
      readonly type: 'repeat';
      readonly body: RegexNode;
      readonly min: number;
      readonly max: number;
      readonly greedy: boolean;
    }
  | { readonly type: 'atomic'; readonly body: RegexNode }
  | { readonly type: 'place'; readonly at: 'start' | 'lineStart' | 'end' | 'lineEnd' | 'veryEnd' }
  | { readonly type: 'boundary'; readonly wanted: boolean; readonly ascii: boolean }
  | { readonly type: 'look'; readonly behind: boolean; readonly wanted: boolean; readonly body: RegexNode }
  | { readonly type: 'back'; readonly index: number; readonly ignoreCase: boolean };

/** A pattern that Python refuses, or that is not supported here. */
export class RegexError extends Error {}

/** The minimum and maximum number of characters that a part matches. */
export function widthOf(node: RegexNode): readonly [number, number] {
  switch (node.type) {
    case 'character':
      return [1, 1];
    case 'sequence':
      return node.parts.map(widthOf).reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0]);
    case 'choice': {
      const widths = node.options.map(widthOf);
      return [Math.min(...widths.map(([least]) => least)), Math.max(...widths.map(([, most]) => most))];
    }
    case 'group':
    case 'atomic':
      return widthOf(node.body);
    case 'repeat': {
      const [least, most] = widthOf(node.body);
      return [least * node.min, most === 0 ? 0 : most * node.max];
    }
    case 'back':
      return [0, Number.POSITIVE_INFINITY];
    default:
      return [0, 0];
  }
}

const character = (code: number) => String.fromCodePoint(code);
const DIGIT = /^\p{Nd}$/u;
const WORD = /^[\p{L}\p{N}_]$/u;
const SPACE = new RegExp(`^[${SPACES}]$`);

/** `\w`, `\d` and `\s` as in Python, for all scripts or for ASCII. */
export function classTest(letter: string, ascii: boolean): CharacterTest {
  const positive = positiveTest(letter.toLowerCase(), ascii);
  return letter === letter.toLowerCase() ? positive : (code) => !positive(code);
}

function positiveTest(letter: string, ascii: boolean): CharacterTest {
  if (letter === 'd') {
    return (code) => (code < 128 || ascii ? code >= 48 && code <= 57 : DIGIT.test(character(code)));
  }
  if (letter === 'w') return (code) => isWord(code, ascii);
  return (code) => (ascii ? code === 32 || (code >= 9 && code <= 13) : SPACE.test(character(code)));
}

/** Whether a character is a word character. */
export function isWord(code: number, ascii: boolean): boolean {
  if (code < 128) {
    return (
      (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code >= 48 && code <= 57) || code === 95
    );
  }
  return !ascii && WORD.test(character(code));
}

/** The same character in all cases, including itself. */
export function inOtherCases(code: number): readonly number[] {
  const cases = new Set([code]);
  for (const text of [character(code).toLowerCase(), character(code).toUpperCase()]) {
    const one = text.codePointAt(0)!;
    if (character(one) === text) cases.add(one);
  }
  for (const one of [...cases]) {
    const lower = character(one).toLowerCase();
    if ([...lower].length === 1) cases.add(lower.codePointAt(0)!);
  }
  return [...cases];
}
