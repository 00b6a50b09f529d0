import { SPACES } from '../../jinja/parsing/lexer.ts';

const SPACE = new RegExp(`[${SPACES}]`);
const SPACE_RUN = new RegExp(`[${SPACES}]+`, 'g');
const AT_START = new RegExp(`^[${SPACES}]+`);

/** `str.isspace` of one character. */
export function isSpace(character: string): boolean {
  return character !== '' && SPACE.test(character);
}

/** `str.rstrip()`. */
export function stripEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/** `str.strip()`. */
export function strip(text: string): string {
  return stripEnd(stripStart(text));
}

/** `str.lstrip()`. */
function stripStart(text: string): string {
  return text.replace(AT_START, '');
}

/** `str.split()`: the words of a text. */
export function words(text: string): string[] {
  return text.split(SPACE_RUN).filter((word) => word !== '');
}

/** `str.isdigit()`, for the digits that `ast.literal_eval` reads, too. */
export function isDigits(text: string): boolean {
  return /^\d+$/.test(text);
}

/** `len(re.split(r"\s+", text))`: words as the harness counts them, with an empty one at a border of white space. */
export function countWords(text: string): number {
  return (text.match(SPACE_RUN)?.length ?? 0) + 1;
}

/** `len(text)`: characters, not UTF-16 units. */
export function countCharacters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

const encoder = new TextEncoder();

/** `len(text.encode("utf-8"))`. */
export function countBytes(text: string): number {
  return encoder.encode(text).length;
}
