import { RopewalkError } from '../../errors.ts';
import { FileSource } from '../../files/file.node.ts';
import { csvRows } from './csv.ts';
import { jsonArray } from './json-array.ts';
import { arrayWithin } from './json-wrapped.ts';
import { type DataRow, jsonLines, textLines } from './rows.ts';
import { textChunks } from './text-chunks.node.ts';

type TextReader = (chunks: AsyncGenerator<string>, path: string) => AsyncGenerator<DataRow>;

const TEXT_READERS: Readonly<Record<string, TextReader>> = {
  jsonl: jsonLines,
  ndjson: jsonLines,
  json: jsonRows,
  csv: (chunks, path) => csvRows(chunks, path),
  tsv: (chunks, path) => csvRows(chunks, path, '\t'),
  txt: textLines,
};

/** File extensions that {@link readRows} reads. All but Parquet may be followed by `.gz`. */
const DATA_FILE_ENDINGS: readonly string[] = [...Object.keys(TEXT_READERS), 'parquet'];

/** The extension that determines a data file's format, without `.gz`; undefined for other files. */
export function dataFileEnding(path: string): { ending: string; packed: boolean } | undefined {
  const match = /\.([^./\\]+?)(\.gz)?$/i.exec(path);
  const ending = match?.[1]?.toLowerCase() ?? '';
  const packed = match?.[2] !== undefined;
  return DATA_FILE_ENDINGS.includes(ending) && !(packed && ending === 'parquet')
    ? { ending, packed }
    : undefined;
}

/**
 * The rows of a data file, in order, by the ending of its name: `.jsonl`, `.json` (an array of objects, an object
 * whose `data` is one, or JSON lines), `.csv`, `.tsv`, `.txt` (one text per line), `.parquet`; all but the last also
 * with `.gz`. An unreadable row is returned with its problem.
 *
 * @param onBytes called with the number of bytes read so far.
 * @throws RopewalkError naming the file, if it has another extension, cannot be read or is not in the format of its
 *   extension.
 */
export async function* readRows(path: string, onBytes?: (bytes: number) => void): AsyncGenerator<DataRow> {
  const found = dataFileEnding(path);
  if (!found) {
    const known = DATA_FILE_ENDINGS.map((ending) => `.${ending}`).join(', ');
    throw new RopewalkError(
      `${path}: the format of a data file is recognized by its extension: ${known}; all but the last also with .gz; rename the file`,
    );
  }
  const read = TEXT_READERS[found.ending];
  yield* read ? read(textChunks(path, onBytes), path) : parquetFileRows(path, onBytes);
}

/** Files named .json hold an array, JSON Lines or an object containing an array: the beginning shows which. */
async function* jsonRows(chunks: AsyncGenerator<string>, path: string): AsyncGenerator<DataRow> {
  let head = '';
  for await (const chunk of { [Symbol.asyncIterator]: () => ({ next: () => chunks.next() }) }) {
    head += chunk;
    if (head.trim() !== '') break;
  }
  const from = async function* (text: string) {
    yield text;
    yield* chunks;
  };
  if (!head.trimStart().startsWith('{')) {
    yield* jsonArray(from(head), path);
    return;
  }
  const within = arrayWithin(head);
  if (within === undefined) yield* jsonLines(from(head), path);
  else {
    const lines = head.slice(0, within).split('\n').length;
    yield* jsonArray(from(head.slice(within)), path, { firstLine: lines, isWithin: true });
  }
}

async function* parquetFileRows(path: string, onBytes?: (bytes: number) => void): AsyncGenerator<DataRow> {
  // Its libraries take as long to load as a small model's first token.
  const { parquetRows } = await import('./parquet.ts');
  const source = await FileSource.open(path);
  try {
    yield* parquetRows(source, path, onBytes);
  } finally {
    await source.close();
  }
}
