/** Names under which files keep their rows, next to other fields. */
const ROWS = ['data', 'rows', 'examples', 'train'];

/**
 * Where the rows begin in a JSON text that is one object containing an array of rows, such as `{"version": 1, "data":
 * [{…}]}`.
 *
 * @param head the beginning of the text, at least up to the rows.
 * @returns the position of the `[`; undefined for other texts, such as JSON Lines.
 */
export function arrayWithin(head: string): number | undefined {
  const token = /[\s\ufeff]*(?:"((?:[^"\\]|\\.){0,256})"|([[\]{}:,])|[^\s"[\]{}:,]+)/suy;
  let depth = 0;
  let name: string | undefined;
  let last = '';
  for (let match = token.exec(head); match; match = token.exec(head)) {
    const [, text, sign] = match;
    if (sign === '[' && depth === 1 && last === ':' && name !== undefined && ROWS.includes(name)) {
      // Rows are objects; lists of numbers or strings under the same name do not count.
      const isRows = /^\[\s*(?:\{|\])/.test(head.slice(token.lastIndex - 1, token.lastIndex + 4096));
      return isRows ? token.lastIndex - 1 : undefined;
    }
    if (sign === '{' || sign === '[') depth++;
    if (sign === '}' || sign === ']') depth--;
    if (depth === 0) return undefined;
    if (text !== undefined && depth === 1 && last !== ':') name = text;
    last = sign ?? '';
  }
  return undefined;
}
