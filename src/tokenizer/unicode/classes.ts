import { BERT_ACCENTS, BERT_CONTROL, INERT, MARKS, NEWER, NUMERIC, PUNCTUATION } from './tables.ts';

/**
 * Character classes of the Rust library, as the content of a class with the flag `v` or `u`. They do not depend on
 * the Unicode version of the JavaScript engine.
 */
function classBody(encoded: string): string {
  return decodeRanges(encoded)
    .map(([first, last]) => (last > first ? `${hex(first)}-${hex(last)}` : hex(first)))
    .join('');
}

/** First and last code points of the ranges in a table. */
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

/** `\s` of Rust and Oniguruma: the property White_Space; JavaScript's adds U+FEFF and lacks U+0085. */
export const SPACE = '\\p{White_Space}';
export const PUNCTUATION_CLASS = classBody(PUNCTUATION);
export const NUMERIC_CLASS = classBody(NUMERIC);
export const BERT_CONTROL_CLASS = classBody(BERT_CONTROL);
export const BERT_ACCENTS_CLASS = classBody(BERT_ACCENTS);
export const MARKS_CLASS = classBody(MARKS);
export const INERT_CLASS = classBody(INERT);
/** Characters not yet assigned in the Unicode version of the regular expressions. */
export const NEWER_CLASS = classBody(NEWER);

/** `\w` of Rust's regular expressions, for the flag `v`. */
export const WORD_CLASS = `[[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]--[${NEWER_CLASS}]]`;
