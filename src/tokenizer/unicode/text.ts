/** UTF-16 units of the code point at a position of a well-formed text; 1 at its end. */
export function codePointLength(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code >= 0xd800 && code < 0xdc00 ? 2 : 1;
}

/** Unicode's property White_Space for a UTF-16 unit, which suffices: all its characters have one unit. */
function isWhiteSpace(code: number): boolean {
  return (
    code === 0x20 ||
    (code >= 9 && code <= 13) ||
    code === 0x85 ||
    code === 0xa0 ||
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  );
}

/** The position of the first character from `start` on that is not white space. */
export function skipWhiteSpace(text: string, start: number): number {
  let at = start;
  while (at < text.length && isWhiteSpace(text.charCodeAt(at))) at++;
  return at;
}

/** The position after the last character before `end` that is not white space. */
export function skipWhiteSpaceBack(text: string, end: number): number {
  let at = end;
  while (at > 0 && isWhiteSpace(text.charCodeAt(at - 1))) at--;
  return at;
}

/** Makes a text match itself inside a regular expression with the flag `u` or `v`. */
export function escapePattern(text: string): string {
  return text.replace(
    /[\^$\\.*+?()[\]{}|/&\-!#%,:;<=>@`~"' \n\r\u2028\u2029]/g,
    (char) => `\\u{${char.charCodeAt(0).toString(16)}}`,
  );
}
