import { NotSupported } from './errors.ts';
import { SPACES } from './parsing/lexer.ts';

const SPACE = new RegExp(`^[${SPACES}]$`);

/**
 * Whether a UTF-16 unit is white space in Python, as removed by `str.strip()`: JavaScript has U+FEFF instead of
 * U+001C–1F and U+0085. All of it is in the basic plane.
 */
export function isSpaceCode(code: number): boolean {
  if (code < 0x80) return code === 32 || (code >= 9 && code <= 13) || (code >= 0x1c && code <= 0x1f);
  return SPACE.test(String.fromCharCode(code));
}

/** Characters whose title case is neither their upper case nor its first letter. */
const TITLES: ReadonlyMap<string, string> = new Map([
  ...['Ǆǅǆǅ', 'Ǉǈǉǈ', 'Ǌǋǌǋ', 'Ǳǲǳǲ'].flatMap((of) =>
    [...of.slice(0, 3)].map((one) => [one, of[3]!] as const),
  ),
  ...[
    ['ŉ', 'ʼN'],
    ['ᾷ', 'ᾼ\u0342'],
    ['ῇ', 'ῌ\u0342'],
    ['ῷ', 'ῼ\u0342'],
  ].map(([from, to]) => [from!, to!] as const),
]);

/** The title case of a character. */
function titleCase(character: string): string {
  const special = TITLES.get(character);
  if (special) return special;
  const code = character.codePointAt(0)!;
  // Georgian letters have capitals, but are their own title case.
  if (code >= 0x10d0 && code <= 0x10ff) return character;
  const upper = character.toUpperCase();
  if ([...upper].length === 1) return upper;
  if (code >= 0x1f80 && code <= 0x1fff) {
    // Greek letters with iota subscript: the single character if there is one (U+1F80–1FAF: offset 8; ᾳ ῃ ῳ: offset
    // 9).
    if (code <= 0x1faf) return String.fromCharCode(code | 8);
    if ([0x1fb3, 0x1fc3, 0x1ff3].includes(code)) return String.fromCharCode(code + 9);
    if ([0x1fbc, 0x1fcc, 0x1ffc].includes(code)) return character;
    const [first, ...rest] = upper;
    return first! + rest.map((one) => (one === 'Ι' ? '\u0345' : one)).join('');
  }
  const [first, ...rest] = upper;
  return first! + rest.join('').toLowerCase();
}

/** `str.capitalize()`. */
export function capitalize(text: string): string {
  const [first] = text;
  if (first === undefined) return '';
  return titleCase(first) + text.toLowerCase().slice(first.toLowerCase().length);
}

const CASED = /[\p{Lowercase}\p{Uppercase}\p{Lt}]/u;

/** `str.title()`. */
export function title(text: string): string {
  const lower = text.toLowerCase();
  // If lowercasing changes the length of a text (İ), it is done letter by letter.
  const byLetter = lower.length !== text.length;
  let out = '';
  let inWord = false;
  let at = 0;
  for (const character of text) {
    const lowered = byLetter ? character.toLowerCase() : lower.slice(at, at + character.length);
    out += inWord ? lowered : titleCase(character);
    inWord = CASED.test(character);
    at += character.length;
  }
  return out;
}

/** `str.swapcase()`. */
export function swapCase(text: string): string {
  const lower = text.toLowerCase();
  let out = '';
  let at = 0;
  for (const character of text) {
    if (/\p{Uppercase}/u.test(character)) {
      out += lower.length === text.length ? lower.slice(at, at + character.length) : character.toLowerCase();
    } else if (/\p{Lowercase}/u.test(character)) out += character.toUpperCase();
    else out += character;
    at += character.length;
  }
  return out;
}

/** The predicates of `str`, by name. */
export const PREDICATES: Readonly<Record<string, (text: string) => boolean>> = {
  isalpha: (text) => /^\p{L}+$/u.test(text),
  isdecimal: (text) => /^\p{Nd}+$/u.test(text),
  isdigit: (text) => /^[\p{Nd}]+$/u.test(without(text, /\p{No}/u, 'isdigit')),
  isnumeric: (text) => /^\p{N}+$/u.test(without(text, /\p{Script=Han}/u, 'isnumeric')),
  isalnum: (text) => /^[\p{L}\p{N}]+$/u.test(text),
  isascii: (text) => /^[\0-\x7f]*$/.test(text),
  isspace: (text) => text !== '' && [...text].every((one) => isSpaceCode(one.charCodeAt(0))),
  islower: (text) => /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text),
  isupper: (text) => /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text),
  istitle,
  isidentifier: (text) => /^[\p{ID_Start}_]\p{ID_Continue}*$/u.test(text),
  isprintable: (text) => !/[\p{C}\p{Z}]/u.test(text.replaceAll(' ', '')),
};

/** Refuses characters for which JavaScript cannot give Python's result. */
function without(text: string, unknown: RegExp, method: string): string {
  const found = unknown.exec(text);
  if (found) throw new NotSupported(`${method} of ${JSON.stringify(found[0])}`);
  return text;
}

function istitle(text: string): boolean {
  let found = false;
  let inWord = false;
  for (const character of text) {
    if (/[\p{Uppercase}\p{Lt}]/u.test(character)) {
      if (inWord) return false;
      inWord = found = true;
    } else if (/\p{Lowercase}/u.test(character)) {
      if (!inWord) return false;
      inWord = found = true;
    } else inWord = false;
  }
  return found;
}

/** Escapes HTML's five special characters as markupsafe does. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('>', '&gt;')
    .replaceAll('<', '&lt;')
    .replaceAll("'", '&#39;')
    .replaceAll('"', '&#34;');
}

/** Line ends of `str.splitlines()`. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are line ends in Python
export const LINE_ENDS = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;
