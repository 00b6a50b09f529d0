import { OptionError } from '../options.ts';

/**
 * Holds out the end of texts, cut at a nearby line end if there is one.
 *
 * @param share from 0 to below 1, of all characters
 * @throws OptionError for another share
 */
export function holdOut(
  texts: readonly string[],
  share: number,
): { texts: string[]; heldOut: string | undefined } {
  if (!(share >= 0 && share < 1)) {
    throw new OptionError('validation', `give a share of at least 0 and below 1, not ${share}.`);
  }
  const all = texts.reduce((sum, { length }) => sum + length, 0);
  let left = Math.floor(all * share);
  const kept = [...texts];
  const parts: string[] = [];
  while (left > 0 && kept.length > 0) {
    const text = kept.pop()!;
    if (text.length <= left) {
      parts.unshift(text);
      left -= text.length;
      continue;
    }
    const at = cutBefore(text, text.length - left);
    if (at > 0) kept.push(text.slice(0, at));
    if (at < text.length) parts.unshift(text.slice(at));
    left = 0;
  }
  const heldOut = parts.join('\n');
  return { texts: kept, heldOut: heldOut === '' ? undefined : heldOut };
}

/** The beginning of a line at or after a position, or the nearest character boundary if there are no further lines. */
function cutBefore(text: string, at: number): number {
  const line = text.indexOf('\n', at - 1);
  if (line >= 0 && line + 1 < text.length) return line + 1;
  const isInside = /[\udc00-\udfff]/.test(text[at] ?? '') && at > 0;
  return isInside ? at - 1 : at;
}
