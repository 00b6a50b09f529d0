import { Float, type PythonValue } from '../python/values.ts';

const INTEGER = /^[-+]?\d+$/;
const NUMBER = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/;
/** Values that pandas reads as missing. */
const NOTHING = new Set([
  ...['', '#N/A', '#N/A N/A', '#NA', '-1.#IND', '-1.#QNAN', '-NaN', '-nan', '1.#IND', '1.#QNAN'],
  ...['<NA>', 'N/A', 'NA', 'NULL', 'NaN', 'None', 'n/a', 'nan', 'null'],
]);

/**
 * Text columns typed as pandas reads a CSV file: numbers and bools if a whole column consists of them; missing values
 * become null.
 */
export function typedColumns(rows: readonly Readonly<Record<string, unknown>>[]): Record<string, unknown>[] {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const typed = rows.map((): Record<string, unknown> => ({}));
  for (const name of names) {
    const texts = rows.map((row) => {
      const text = row[name];
      return typeof text !== 'string' || NOTHING.has(text) ? null : text;
    });
    const read = readerOf(texts);
    texts.forEach((text, i) => {
      typed[i]![name] = text === null ? null : read(text);
    });
  }
  return typed;
}

function readerOf(texts: readonly (string | null)[]): (text: string) => PythonValue {
  const known = texts.filter((text) => text !== null);
  const all = (rule: RegExp) => known.length > 0 && known.every((text) => rule.test(text.trim()));
  if (all(/^(?:True|False|TRUE|FALSE|true|false)$/)) return (text) => /^true$/i.test(text.trim());
  // In pandas, a missing value turns a column of ints into floats.
  const whole = all(INTEGER) && known.length === texts.length;
  if (whole) return (text) => Number(text);
  if (!all(NUMBER)) return (text) => text;
  return (text) => (Number.isInteger(Number(text)) ? new Float(Number(text)) : Number(text));
}
