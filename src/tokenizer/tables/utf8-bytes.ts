const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Most tokens are ASCII, for which a decoder's call takes longer than the text. */
export function textOf(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let at = start; at < end; at++) {
    if (bytes[at]! >= 0x80) return decoder.decode(bytes.subarray(start, end));
    text += String.fromCharCode(bytes[at]!);
  }
  return text;
}

/** The character at a place of valid UTF-8. */
export function codePointAt(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  const low = (ahead: number) => bytes[at + ahead]! & 0x3f;
  if (first < 0x80) return first;
  if (first < 0xe0) return ((first & 0x1f) << 6) | low(1);
  if (first < 0xf0) return ((first & 0x0f) << 12) | (low(1) << 6) | low(2);
  return ((first & 0x07) << 18) | (low(1) << 12) | (low(2) << 6) | low(3);
}

/** Writes a text as UTF-8. @returns its length in bytes; -1 if the text has a lone surrogate */
export function encodeInto(text: string, target: Uint8Array): number {
  let to = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.codePointAt(at)!;
    to = writeCodePoint(code, target, to);
    if (to < 0) return -1;
    if (code > 0xffff) at++;
  }
  return to;
}

/** Writes a character as UTF-8. @returns the position after it; -1 for a surrogate */
export function writeCodePoint(code: number, target: Uint8Array, at: number): number {
  if (code < 0x80) {
    target[at] = code;
    return at + 1;
  }
  if (code < 0x800) {
    target[at] = 0xc0 | (code >> 6);
    target[at + 1] = 0x80 | (code & 0x3f);
    return at + 2;
  }
  if (code < 0x10000) {
    if (code >= 0xd800 && code < 0xe000) return -1;
    target[at] = 0xe0 | (code >> 12);
    target[at + 1] = 0x80 | ((code >> 6) & 0x3f);
    target[at + 2] = 0x80 | (code & 0x3f);
    return at + 3;
  }
  target[at] = 0xf0 | (code >> 18);
  target[at + 1] = 0x80 | ((code >> 12) & 0x3f);
  target[at + 2] = 0x80 | ((code >> 6) & 0x3f);
  target[at + 3] = 0x80 | (code & 0x3f);
  return at + 4;
}

/** Whether the bytes `[start, end)` are valid UTF-8. */
export function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; ) {
    const first = bytes[at]!;
    if (first < 0x80) {
      at++;
      continue;
    }
    // The first of the bytes that follow has a narrower range after these: no longer form, surrogate or more than 21 bits.
    const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    const more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    if (first < 0xc2 || first > 0xf4 || at + more >= end) return false;
    const second = bytes[at + 1]!;
    if (second < least || second > most) return false;
    for (let i = 2; i <= more; i++) if ((bytes[at + i]! & 0xc0) !== 0x80) return false;
    at += more + 1;
  }
  return true;
}
