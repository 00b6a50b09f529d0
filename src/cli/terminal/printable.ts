/**
 * Text that is safe for a terminal: line breaks and tabs stay, other control characters (which could move the cursor
 * or rename the window) become visible symbols.
 */
export function printable(text: string): string {
  return Array.from(text, (character) => {
    const code = character.codePointAt(0)!;
    if (code < 0x20 && character !== '\n' && character !== '\t') return String.fromCharCode(0x2400 + code);
    if (code === 0x7f) return '␡';
    return code >= 0x80 && code < 0xa0 ? '\ufffd' : character;
  }).join('');
}

/** Text for standard output: unchanged for a file or a pipe, {@link printable} on a terminal. */
export function forOutput(text: string): string {
  return process.stdout.isTTY ? printable(text) : text;
}
