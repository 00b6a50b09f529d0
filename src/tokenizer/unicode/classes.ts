import { BERT_ACCENTS, BERT_CONTROL, INERT, MARKS, NEWER, NUMERIC, PUNCTUATION } from './tables.ts';

/**
 * Classes of characters as the Rust library has them, as the inside of a class of a regular expression with the flag `v`
 * or `u`. They do not depend on the version of Unicode that a JavaScript engine knows.
 */
function classBody(encoded: string): string {
  return decodeRanges(encoded)
    .map(([first, last]) => (last > first ? `${hex(first)}-${hex(last)}` : hex(first)))
    .join('');
}

/** First and last code points of the ranges of a table. */
export function decodeRanges(encoded: string): [first: number, last: number][] {
  let at = 0;
  return encoded.split(' ').map((range) => {
    const [gap, length = '0'] = range.split('+');
    const first = at + Number.parseInt(gap!, 36);
    at = first + Number.parseInt(length, 36);
    return [first, at];
  });
}

function hex(code: number): string {
  return `\\u{${code.toString(16)}}`;
}

/** `\s` of Rust and of Oniguruma: the property White_Space; JavaScript's has U+FEFF and lacks U+0085. */
export const SPACE = '\\p{White_Space}';
export const PUNCTUATION_CLASS = classBody(PUNCTUATION);
export const NUMERIC_CLASS = classBody(NUMERIC);
export const BERT_CONTROL_CLASS = classBody(BERT_CONTROL);
export const BERT_ACCENTS_CLASS = classBody(BERT_ACCENTS);
export const MARKS_CLASS = classBody(MARKS);
export const INERT_CLASS = classBody(INERT);
/** Characters that are not yet assigned in the version of Unicode that the regular expressions know. */
export const NEWER_CLASS = classBody(NEWER);

/** `\w` of Rust's regular expressions, for the flag `v`. */
export const WORD_CLASS = `[[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]--[${NEWER_CLASS}]]`;
