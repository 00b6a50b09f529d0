/** Text in SVG: escaped, and broken into lines by estimated width, since it cannot be measured here. */

/** Text as content or attribute value. Characters that markup does not allow become U+FFFD. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character]!).replace(NOT_ALLOWED, '\ufffd');
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/**
 * Control characters except tab, line feed and carriage return, and lone surrogates, which neither XML nor HTML
 * allows.
 */
const NOT_ALLOWED =
  /[^\t\n\r\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]|[\ufdd0-\ufdef]|\p{Surrogate}/gu;

/** Estimated width in units of the font size: Korean syllables are square, Latin letters about half as wide. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/[\u1100-\u11ff\u3000-\u9fff\uac00-\ud7a3\uff00-\uff60]/.test(character)) width += 1;
    else if (/[A-ZmwMW@%→×±θ]/.test(character)) width += 0.72;
    else width += /[ijlrtfI.,:;'()|! -]/.test(character) ? 0.38 : 0.58;
  }
  return width;
}

/** Lines of at most `width` (in font sizes), broken at spaces; a longer word is split. */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ').flatMap((part) => cut(part, width))) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (textWidth(longer) <= width) line = longer;
    else {
      if (line !== '') lines.push(line);
      line = word;
    }
  }
  return [...lines, line];
}

function cut(word: string, width: number): string[] {
  const pieces: string[] = [];
  let piece = '';
  for (const character of word) {
    if (piece !== '' && textWidth(piece + character) > width) {
      pieces.push(piece);
      piece = '';
    }
    piece += character;
  }
  return [...pieces, piece];
}
