import { RopewalkError } from '../../errors.ts';
import { FileSource } from '../../files/file.node.ts';
import { csvRows } from './csv.ts';
import { jsonArray } from './json-array.ts';
import { parquetRows } from './parquet.ts';
import { type DataRow, jsonLines } from './rows.ts';
import { textChunks } from './text-chunks.node.ts';

const READERS: Readonly<Record<string, (path: string) => AsyncGenerator<DataRow>>> = {
  jsonl: (path) => jsonLines(textChunks(path), path),
  ndjson: (path) => jsonLines(textChunks(path), path),
  json: jsonRows,
  csv: (path) => csvRows(textChunks(path), path),
  tsv: (path) => csvRows(textChunks(path), path, '\t'),
  parquet: parquetFileRows,
};

/** Endings of the names of files that {@link readRows} reads. */
export const DATA_FILE_ENDINGS: readonly string[] = Object.keys(READERS);

/**
 * The rows of a data file, in order, by the ending of its name: `.jsonl`, `.json` (an array of objects, or JSON lines),
 * `.csv`, `.tsv`, `.parquet`. A row that cannot be read is given with its problem.
 *
 * @throws RopewalkError naming the file, when it has another ending, cannot be read or is not what its name says.
 */
export async function* readRows(path: string): AsyncGenerator<DataRow> {
  const read = READERS[/\.([^./\\]+)$/.exec(path)?.[1]?.toLowerCase() ?? ''];
  if (!read) {
    const known = DATA_FILE_ENDINGS.map((ending) => `.${ending}`).join(', ');
    throw new RopewalkError(
      `${path}: data files are told by the ending of their names, which are ${known}; rename it`,
    );
  }
  yield* read(path);
}

/** Files called .json often hold JSON lines: what it is shows in the first character. */
async function* jsonRows(path: string): AsyncGenerator<DataRow> {
  const chunks = textChunks(path);
  let head = '';
  for await (const chunk of { [Symbol.asyncIterator]: () => ({ next: () => chunks.next() }) }) {
    head += chunk;
    if (head.trim() !== '') break;
  }
  const text = (async function* () {
    yield head;
    yield* chunks;
  })();
  yield* head.trimStart().startsWith('{') ? jsonLines(text, path) : jsonArray(text, path);
}

async function* parquetFileRows(path: string): AsyncGenerator<DataRow> {
  const source = await FileSource.open(path);
  try {
    yield* parquetRows(source, path);
  } finally {
    await source.close();
  }
}
