import {
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { compressors } from 'hyparquet-compressors';
import type { ByteSource } from '../checkpoint/source.ts';
import { RopewalkError } from '../errors.ts';
import type { DataRow } from './rows.ts';

/*
 * What a file may ask of memory, whatever it says of itself. Writers make row groups of some megabytes, and pages of some
 * kilobytes up to a few megabytes.
 */
const MOST_METADATA = 1 << 26;
const MOST_PAGE = 1 << 28;
const MOST_CHUNK = 1 << 30;
const MOST_VALUES = 1 << 25;

/**
 * The rows of a Parquet file, a row group at a time, with lists and structures as arrays and objects. Compressed by
 * Snappy, gzip, zstd, Brotli, LZ4, or not.
 *
 * @param name what messages call it.
 * @throws RopewalkError when it is not a Parquet file, damaged, or asks for more memory than data of texts do.
 */
export async function* parquetRows(source: ByteSource, name: string): AsyncGenerator<DataRow> {
  const wrong = (why: string, cause?: unknown) =>
    new RopewalkError(
      `${name}: this Parquet file cannot be read (${why}); is it whole? Make it again, or give JSONL`,
      {
        cause,
      },
    );
  const trying = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      // The library takes a file at its word, and stumbles in many ways over one that is wrong.
      if (error instanceof RopewalkError) throw error;
      throw wrong(error instanceof Error ? error.message : String(error), error);
    }
  };
  if (source.size < 12) throw wrong('it is too short');
  const tail = await source.read(source.size - 8, 8);
  const metadataLength = new DataView(tail.buffer, tail.byteOffset).getUint32(0, true);
  if (metadataLength > Math.min(source.size - 8, MOST_METADATA)) {
    throw wrong(`its metadata would take ${metadataLength} bytes`);
  }
  const file: AsyncBuffer = {
    byteLength: source.size,
    slice: async (start, end = source.size) => (await source.read(start, end - start)).slice().buffer,
  };
  const metadata = await trying(() => parquetMetadataAsync(file));
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    await trying(() => checkGroup(source, group, wrong));
    const rows = await trying(() =>
      parquetReadObjects({ file, metadata, rowStart, rowEnd, compressors: boundedCompressors(wrong) }),
    );
    for (const [i, values] of rows.entries()) yield { where: `${name}, row ${rowStart + i + 1}`, values };
    rowStart = rowEnd;
  }
}

/** Refuses a row group whose columns or pages claim more than they may, before any is given memory. */
async function checkGroup(
  source: ByteSource,
  { columns, num_rows }: FileMetaData['row_groups'][number],
  wrong: (why: string) => RopewalkError,
): Promise<void> {
  const bounded = (value: number | bigint | undefined, most: number, what: string) => {
    const number = Number(value ?? 0);
    if (Number.isSafeInteger(number) && number >= 0 && number <= most) return number;
    throw wrong(`it says that ${what} ${number}`);
  };
  bounded(num_rows, MOST_VALUES, 'the rows of a group are');
  for (const { meta_data: meta } of columns) {
    if (!meta) throw wrong('a column lies in another file');
    const what = `column ${meta.path_in_schema.join('.')} has`;
    const values = bounded(meta.num_values, MOST_VALUES, `the values that ${what} are`);
    bounded(meta.total_uncompressed_size, MOST_CHUNK, `the bytes that ${what} are`);
    const size = bounded(meta.total_compressed_size, MOST_CHUNK, `the compressed bytes that ${what} are`);
    const offset = bounded(
      meta.dictionary_page_offset || meta.data_page_offset,
      source.size,
      `the place that ${what} is`,
    );
    const bytes = await source.read(offset, size);
    const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 };
    let seen = 0;
    while (reader.offset < size - 1 && seen < values) {
      const header = parquetHeader(reader);
      reader.offset += bounded(
        header.compressed_page_size,
        size - reader.offset,
        `the bytes that a page of ${what} are`,
      );
      bounded(header.uncompressed_page_size, MOST_PAGE, `the bytes that a page of ${what} are`);
      const page = header.data_page_header ?? header.data_page_header_v2;
      seen += bounded(page?.num_values, values - seen, `the values that a page of ${what} are`);
      bounded(
        header.dictionary_page_header?.num_values,
        MOST_VALUES,
        `the values that a page of ${what} are`,
      );
    }
  }
}

/** The library's, which are asked for no more bytes than a page may have. */
function boundedCompressors(wrong: (why: string) => RopewalkError): Compressors {
  const bounded: Compressors = {};
  for (const [codec, decompress] of Object.entries(compressors) as [
    keyof Compressors,
    Compressors[keyof Compressors],
  ][]) {
    bounded[codec] = (input, length) => {
      const claimed = codec === 'ZSTD' ? zstdContentSize(input) : undefined;
      if (length > MOST_PAGE || (claimed !== undefined && claimed > MOST_PAGE)) {
        throw wrong(`a page would unpack to ${claimed ?? length} bytes`);
      }
      return decompress!(input, length);
    };
  }
  return bounded;
}

/** What a zstd frame says that it unpacks to (RFC 8878, 3.1.1.1); undefined where it says nothing. */
function zstdContentSize(frame: Uint8Array): number | undefined {
  const descriptor = frame[4];
  if (descriptor === undefined) return undefined;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const flag = descriptor >> 6;
  const at = 5 + (isSingleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!;
  const length = flag === 0 ? (isSingleSegment ? 1 : 0) : 1 << flag;
  if (length === 0 || at + length > frame.length) return undefined;
  let size = 0;
  for (let i = length - 1; i >= 0; i--) size = size * 256 + frame[at + i]!;
  return length === 2 ? size + 256 : size;
}
