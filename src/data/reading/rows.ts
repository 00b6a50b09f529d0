import { RopewalkError } from '../../errors.ts';

/** A row of a data file, and its location for messages: `data.jsonl:12`, or `data.parquet, row 12`. */
export interface DataRow {
  readonly where: string;
  /** Values by column name; undefined if the row cannot be read. */
  readonly values?: Readonly<Record<string, unknown>>;
  /** Why it cannot be read. */
  readonly problem?: string;
}

/** The longest row that is read, in UTF-16 units, which bounds memory: training data has no longer rows. */
export const MOST_ROW_LENGTH = 1 << 26;

export function tooLong(where: string): RopewalkError {
  return new RopewalkError(
    `${where}: a row of over ${MOST_ROW_LENGTH} characters begins here; is this a file of rows (JSONL, JSON, CSV, Parquet)?`,
  );
}

/** A row of a JSON text, which must be an object. */
export function jsonRow(text: string, where: string): DataRow {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { where, problem: `not valid JSON (${error instanceof Error ? error.message : String(error)})` };
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return { where, values: value as Record<string, unknown> };
  }
  return { where, problem: 'not a JSON object with one field per column' };
}

/**
 * Rows of a JSONL text: one JSON object per line; blank lines are skipped.
 *
 * @param chunks pieces of the text, cut anywhere.
 */
export async function* jsonLines(chunks: AsyncIterable<string>, file: string): AsyncGenerator<DataRow> {
  let line = 0;
  let rest = '';
  // JSON has no CR within its strings, so one in the middle of a line ends a line too, as in old Mac files.
  const row = (text: string): DataRow[] =>
    text
      .replace(/\r$/, '')
      .split('\r')
      .flatMap((part) => {
        line++;
        return part.trim() === '' ? [] : [jsonRow(part, `${file}:${line}`)];
      });
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    for (const text of lines) yield* row(text);
    if (rest.length > MOST_ROW_LENGTH) throw tooLong(`${file}:${line + 1}`);
  }
  yield* row(rest);
}

/**
 * Rows of a plain text: each line that is not blank becomes a row with a `text` field. Lines end in LF, CRLF or CR.
 */
export async function* textLines(chunks: AsyncIterable<string>, file: string): AsyncGenerator<DataRow> {
  let line = 0;
  let rest = '';
  const row = (text: string): DataRow[] => {
    line++;
    return text.trim() === '' ? [] : [{ where: `${file}:${line}`, values: { text } }];
  };
  for await (const chunk of chunks) {
    // A CR at the end may be the first half of a CRLF.
    const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    for (const text of lines) yield* row(text);
    if (rest.length > MOST_ROW_LENGTH) throw tooLong(`${file}:${line + 1}`);
  }
  yield* row(rest.replace(/\r$/, ''));
}
