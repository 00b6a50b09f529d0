/** Names under which files keep their rows, beside what else they say. */
const ROWS = ['data', 'rows', 'examples', 'train'];

/**
 * Where the rows of a JSON text begin that is one object with an array of rows in it, such as `{"version": 1, "data": [{…}]}`.
 *
 * @param head the beginning of the text, at least up to the rows.
 * @returns the place of the `[`; undefined where the text is another one, such as JSON lines.
 */
export function arrayWithin(head: string): number | undefined {
  const token = /[\s\ufeff]*(?:"((?:[^"\\]|\\.){0,256})"|([[\]{}:,])|[^\s"[\]{}:,]+)/suy;
  let depth = 0;
  let name: string | undefined;
  let last = '';
  for (let match = token.exec(head); match; match = token.exec(head)) {
    const [, text, sign] = match;
    if (sign === '[' && depth === 1 && last === ':' && name !== undefined && ROWS.includes(name)) {
      // Rows are objects; lists of numbers or texts under the same name are none.
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
