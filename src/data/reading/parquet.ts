import { type AsyncBuffer, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { RopewalkError } from '../../errors.ts';
import type { ByteSource } from '../../files/source.ts';
import { boundedCompressors, checkGroup, MOST_METADATA, rowsAtOnce } from './parquet-bounds.ts';
import type { DataRow } from './rows.ts';

/**
 * The rows of a Parquet file, one row group at a time, with lists and structs as arrays and objects. Compression:
 * Snappy, gzip, zstd, Brotli, LZ4, or none.
 *
 * @param name for messages.
 * @param onBytes called with the approximate number of bytes read so far.
 * @throws RopewalkError if it is not a Parquet file, is damaged, or requests more memory than text data needs.
 */
export async function* parquetRows(
  source: ByteSource,
  name: string,
  onBytes?: (bytes: number) => void,
): AsyncGenerator<DataRow> {
  const wrong = (why: string, cause?: unknown) =>
    new RopewalkError(
      `${name}: this Parquet file cannot be read (${why}); is it complete? Create it again, or give JSONL`,
      {
        cause,
      },
    );
  const trying = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      // The library trusts the file, and fails in many ways on a wrong one.
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
  const count = metadata.row_groups.reduce((sum, { num_rows }) => sum + Number(num_rows), 0);
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const groupEnd = rowStart + Number(group.num_rows);
    const atOnce = rowsAtOnce(metadata.schema, group, name);
    await trying(() => checkGroup(source, metadata.schema, group, wrong));
    while (rowStart < groupEnd) {
      const rowEnd = Math.min(groupEnd, rowStart + atOnce);
      const rows = await trying(() =>
        parquetReadObjects({ file, metadata, rowStart, rowEnd, compressors: boundedCompressors(wrong) }),
      );
      if (rows.length !== rowEnd - rowStart)
        throw wrong(`there are ${rows.length} rows where it names ${rowEnd - rowStart}`);
      for (const [i, values] of rows.entries()) yield { where: `${name}, row ${rowStart + i + 1}`, values };
      rowStart = rowEnd;
      onBytes?.(Math.round((source.size * rowEnd) / count));
    }
  }
}
