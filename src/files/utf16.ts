/**
 * Recognizes UTF-16 text by its first bytes: a byte order mark, or zeros in every second byte, as for Latin letters
 * and line breaks. Such bytes can be valid UTF-8, with NULs for the zeros.
 *
 * @returns iconv's name for the encoding; undefined for other texts.
 */
export function utf16Of(head: Uint8Array): 'UTF-16' | 'UTF-16LE' | 'UTF-16BE' | undefined {
  if ((head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff)) return 'UTF-16';
  const pairs = Math.floor(head.length / 2);
  if (pairs < 2) return undefined;
  const zeros: [number, number] = [0, 0];
  for (let i = 0; i < 2 * pairs; i++) if (head[i] === 0) zeros[i % 2 === 0 ? 0 : 1]++;
  // Most letters of a text in Latin script, and no zero in the other bytes.
  if (zeros[1] > pairs / 2 && zeros[0] === 0) return 'UTF-16LE';
  if (zeros[0] > pairs / 2 && zeros[1] === 0) return 'UTF-16BE';
  return undefined;
}
