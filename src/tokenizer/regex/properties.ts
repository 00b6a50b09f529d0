import { NEWER_CLASS } from '../unicode/classes.ts';
import { RegexProblem } from './syntax.ts';

/**
 * Oniguruma's character properties as operands of a class with the flag `v`. It supports Unicode 16: characters that
 * only JavaScript's engine knows are unassigned in it.
 */
const NEWER = `[${NEWER_CLASS}]`;

const assigned = (set: string) => `[[${set}]--${NEWER}]`;
const unassignedToo = (set: string) => `[${set}${NEWER}]`;

/** U+0295 was a lower-case letter until Unicode 17. */
const LOWER_EXCEPTION = '\\u{295}';

const ALPHABETIC = '\\p{Alphabetic}';
/** `\w` in a class: without the joiners that Rust's `\w` includes. */
export const WORD = assigned('\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}');
/** `\w` on its own also includes the digits and fractions of Latin-1. */
export const WORD_ALONE = `[${WORD}\\u{b2}\\u{b3}\\u{b9}\\u{bc}-\\u{be}]`;

/** POSIX brackets, `[:alpha:]`. */
const POSIX: Readonly<Record<string, string>> = {
  alnum: assigned(`${ALPHABETIC}\\p{Nd}`),
  alpha: assigned(ALPHABETIC),
  ascii: '[\\u{0}-\\u{7f}]',
  blank: '[\\p{Zs}\\t]',
  cntrl: '[\\p{Cc}]',
  digit: assigned('\\p{Nd}'),
  graph: `[[\\p{Any}]--[\\p{White_Space}\\p{Cc}\\p{Cs}\\p{Cn}${NEWER_CLASS}]]`,
  lower: `[${assigned('\\p{Lowercase}')}${LOWER_EXCEPTION}]`,
  print: `[[\\p{Any}]--[\\p{Cc}\\p{Cs}\\p{Cn}\\u{2028}\\u{2029}${NEWER_CLASS}]]`,
  punct: assigned('\\p{P}\\p{S}'),
  space: '[\\p{White_Space}]',
  upper: assigned('\\p{Uppercase}'),
  xdigit: '[0-9a-fA-F]',
  word: WORD,
};

/** Names of `\p{…}` that mean something else in JavaScript, or nothing; in lower case without `_`, `-` and spaces. */
const NAMED: Readonly<Record<string, string>> = {
  ...POSIX,
  punct: assigned('\\p{P}'),
  word: WORD_ALONE,
  any: '[\\p{Any}]',
  assigned: assigned('\\p{Assigned}'),
  c: unassignedToo('\\p{C}'),
  other: unassignedToo('\\p{C}'),
  cn: unassignedToo('\\p{Cn}'),
  unassigned: unassignedToo('\\p{Cn}'),
  ll: `[${assigned('\\p{Ll}')}${LOWER_EXCEPTION}]`,
  lowercaseletter: `[${assigned('\\p{Ll}')}${LOWER_EXCEPTION}]`,
  lc: `[${assigned('\\p{LC}')}${LOWER_EXCEPTION}]`,
  casedletter: `[${assigned('\\p{LC}')}${LOWER_EXCEPTION}]`,
  lo: `[${assigned('\\p{Lo}')}--[${LOWER_EXCEPTION}]]`,
  otherletter: `[${assigned('\\p{Lo}')}--[${LOWER_EXCEPTION}]]`,
  lowercase: `[${assigned('\\p{Lowercase}')}${LOWER_EXCEPTION}]`,
};

export function posixBracket(name: string): string {
  if (Object.hasOwn(POSIX, name)) return POSIX[name]!;
  throw new RegexProblem(`it has the class [:${name}:]`);
}

/** @param name as written: a general category, a script or a property */
export function property(name: string): string {
  const plain = name.replace(/[ _-]/g, '').toLowerCase();
  if (Object.hasOwn(NAMED, plain)) return NAMED[plain]!;
  if (/^[A-Za-z_]+$/.test(name)) {
    for (const source of [`\\p{${name}}`, `\\p{Script=${name}}`])
      if (compiles(source)) return assigned(source);
  }
  throw new RegexProblem(`it has the property ${name}`);
}

function compiles(source: string): boolean {
  try {
    new RegExp(source, 'u');
    return true;
  } catch {
    return false;
  }
}
