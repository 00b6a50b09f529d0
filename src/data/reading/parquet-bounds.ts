import type { CompressionCodec, Compressors, FileMetaData, PageHeader } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { decompressPage } from 'hyparquet/src/datapage.js';
import {
  getMaxDefinitionLevel,
  getMaxRepetitionLevel,
  getSchemaPath,
  isFlatColumn,
} from 'hyparquet/src/schema.js';
import { compressors } from 'hyparquet-compressors';
import { RopewalkError } from '../../errors.ts';
import type { ByteSource } from '../../files/source.ts';

/*
 * Limits on the memory that a file may request, whatever it claims. Writers make row groups of some megabytes, and
 * pages of some kilobytes up to a few megabytes.
 */
export const MOST_METADATA = 1 << 26;
const MOST_PAGE = 1 << 28;
const MOST_CHUNK = 2 ** 30;
/** Columns that decompress to more are read in parts of about this many bytes. */
const PART = 2 ** 28;
/**
 * The most that a column may claim to decompress to: its pages are decompressed one by one, each within its own
 * limit.
 */
const MOST_UNPACKED = 2 ** 40;
const MOST_VALUES = 1 << 25;

/** Makes the error for a file's claim. */
export type Refuse = (why: string) => RopewalkError;

/**
 * How many rows of a group are read at once, so that they fit in memory when decompressed. Columns without lists can
 * be read in parts; those with lists are always read whole.
 *
 * @throws RopewalkError naming the remedy, if a column is too large for that.
 */
export function rowsAtOnce(
  schema: FileMetaData['schema'],
  { columns, num_rows }: FileMetaData['row_groups'][number],
  name: string,
): number {
  let largest = 0;
  for (const { meta_data: meta } of columns) {
    const unpacked = Number(meta?.total_uncompressed_size ?? 0);
    const packed = Number(meta?.total_compressed_size ?? 0);
    if (!meta || (unpacked <= MOST_CHUNK && packed <= MOST_CHUNK)) continue;
    if (packed > MOST_CHUNK || !isFlatColumn(getSchemaPath(schema, meta.path_in_schema))) {
      const column = meta.path_in_schema.join('.');
      throw new RopewalkError(
        `${name}: a row group has over 1 GiB in the column ${column}, which is too much to read at once; write the file with smaller row groups (in pandas: df.to_parquet(path, row_group_size=50000)), or give JSONL`,
      );
    }
    largest = Math.max(largest, unpacked);
  }
  const rows = Math.max(1, Number(num_rows));
  return largest === 0 ? rows : Math.max(1, Math.floor((rows * PART) / largest));
}

/**
 * Refuses a row group whose columns, pages or runs claim more than the limits, before the library allocates memory:
 * the library trusts the file, down to the length of a run.
 */
export async function checkGroup(
  source: ByteSource,
  schema: FileMetaData['schema'],
  { columns, num_rows }: FileMetaData['row_groups'][number],
  wrong: Refuse,
): Promise<void> {
  const bounded = (value: number | bigint | undefined, most: number, what: string) => {
    const number = Number(value ?? 0);
    if (Number.isSafeInteger(number) && number >= 0 && number <= most) return number;
    throw wrong(`it claims that ${what} ${number}`);
  };
  bounded(num_rows, MOST_VALUES, 'the rows of a group are');
  for (const { meta_data: meta } of columns) {
    if (!meta) throw wrong('a column lies in another file');
    const what = `column ${meta.path_in_schema.join('.')} has`;
    const values = bounded(meta.num_values, MOST_VALUES, `the values that ${what} are`);
    bounded(meta.total_uncompressed_size, MOST_UNPACKED, `the bytes that ${what} are`);
    const size = bounded(meta.total_compressed_size, MOST_CHUNK, `the compressed bytes that ${what} are`);
    const offset = bounded(
      meta.dictionary_page_offset || meta.data_page_offset,
      source.size,
      `the place that ${what} is`,
    );
    const path = getSchemaPath(schema, meta.path_in_schema);
    const levels = {
      repetition: path.length > 1 ? getMaxRepetitionLevel(path) : 0,
      definition: getMaxDefinitionLevel(path),
      isBoolean: meta.type === 'BOOLEAN',
    };
    const unpack = boundedCompressors(wrong);
    const bytes = await source.read(offset, size);
    const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 };
    let seen = 0;
    // The library stops at the last value of a flat column, and at the last byte of one with lists.
    while (reader.offset < size - 1 && (levels.repetition > 0 || seen < values)) {
      const header = parquetHeader(reader);
      const length = bounded(
        header.compressed_page_size,
        size - reader.offset,
        `the bytes that a page of ${what} are`,
      );
      const packed = bytes.subarray(reader.offset, reader.offset + length);
      reader.offset += length;
      bounded(header.uncompressed_page_size, MOST_PAGE, `the bytes that a page of ${what} are`);
      const page = header.data_page_header ?? header.data_page_header_v2;
      seen += bounded(page?.num_values, values - seen, `the values that a page of ${what} are`);
      bounded(
        header.dictionary_page_header?.num_values,
        MOST_VALUES,
        `the values that a page of ${what} are`,
      );
      if (page) checkRuns(packed, header, { ...levels, codec: meta.codec, unpack }, wrong);
    }
  }
}

interface ColumnLevels {
  readonly repetition: number;
  readonly definition: number;
  readonly isBoolean: boolean;
  readonly codec: CompressionCodec;
  readonly unpack: Compressors;
}

/** The runs of a data page: of its levels, and of its values if these are dictionary indices or booleans. */
function checkRuns(
  packed: Uint8Array,
  header: PageHeader,
  { repetition, definition, isBoolean, codec, unpack }: ColumnLevels,
  wrong: Refuse,
): void {
  const v1 = header.data_page_header;
  const v2 = header.data_page_header_v2;
  const { num_values: count, encoding } = (v1 ?? v2)!;
  const unpacked = (bytes: Uint8Array, length: number) => decompressPage(bytes, length, codec, unpack);
  let values: Uint8Array;
  if (v2) {
    const [first, second] = [v2.repetition_levels_byte_length, v2.definition_levels_byte_length];
    checkStream(packed.subarray(0, first), widthOf(repetition), count, wrong);
    checkStream(packed.subarray(first, first + second), widthOf(definition), count, wrong);
    const rest = packed.subarray(first + second);
    const length = Number(header.uncompressed_page_size) - first - second;
    values = v2.is_compressed === false ? rest : unpacked(rest, length);
  } else {
    values = unpacked(packed, Number(header.uncompressed_page_size));
    for (const level of [repetition, definition]) {
      if (level > 0) values = checkSized(values, widthOf(level), count, wrong);
    }
  }
  if (encoding !== 'RLE' && !encoding.endsWith('_DICTIONARY')) return;
  // Booleans are preceded by their length, dictionary indices by their width, as the library reads them.
  const isSized = v2 ? encoding === 'RLE' : isBoolean;
  checkStream(values.subarray(isSized ? 4 : 1), isSized ? 1 : (values[0] ?? 0), count, wrong);
}

/** Checks a stream preceded by its length; returns what follows it. */
function checkSized(bytes: Uint8Array, width: number, count: number, wrong: Refuse): Uint8Array {
  if (bytes.length < 4) throw wrong('a page ends within its levels');
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (length > bytes.length - 4) throw wrong('a page ends within its levels');
  checkStream(bytes.subarray(4, 4 + length), width, count, wrong);
  return bytes.subarray(4 + length);
}

/** Packed values fill up their last group of 8; some writers pad a little more. */
const SLACK = 1024;

/** Refuses a stream of runs (Parquet's RLE and bit-packing hybrid) with a run longer than the remaining values. */
function checkStream(bytes: Uint8Array, width: number, count: number, wrong: Refuse): void {
  let at = 0;
  if (width === 0) return;
  for (let seen = 0; seen < count && at < bytes.length; ) {
    let header = 0;
    let scale = 1;
    for (; at < bytes.length; at++) {
      header += (bytes[at]! & 0x7f) * scale;
      scale *= 128;
      if (bytes[at]! < 0x80) break;
    }
    at++;
    const isPacked = header % 2 === 1;
    const half = Math.floor(header / 2);
    const run = isPacked ? 8 * half : half;
    if (run > count - seen + (isPacked ? SLACK : 7))
      throw wrong(`a run has ${run} values where only ${count - seen} are left`);
    at += isPacked ? half * width : Math.ceil(width / 8);
    seen += run;
  }
}

/** The bits of a level of at most `most`. */
function widthOf(most: number): number {
  return 32 - Math.clz32(most);
}

/** The library's decompressors, limited to the bytes that a page may have. */
export function boundedCompressors(wrong: Refuse): Compressors {
  const bounded: Compressors = {};
  for (const [codec, decompress] of Object.entries(compressors) as [
    keyof Compressors,
    Compressors[keyof Compressors],
  ][]) {
    bounded[codec] = (input, length) => {
      const claimed = codec === 'ZSTD' ? zstdContentSize(input) : undefined;
      if (length > MOST_PAGE || (claimed !== undefined && claimed > MOST_PAGE)) {
        throw wrong(`a page would decompress to ${claimed ?? length} bytes`);
      }
      return decompress!(input, length);
    };
  }
  return bounded;
}

/** The decompressed size that a zstd frame declares (RFC 8878, 3.1.1.1); undefined if it declares none. */
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
