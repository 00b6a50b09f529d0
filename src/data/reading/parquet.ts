import { type AsyncBuffer, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { RopewalkError } from '../../errors.ts';
import type { ByteSource } from '../../files/source.ts';
import { boundedCompressors, checkGroup, MOST_METADATA, rowsAtOnce } from './parquet-bounds.ts';
import type { DataRow } from './rows.ts';

/**
 * The rows of a Parquet file, a row group at a time, with lists and structures as arrays and objects. Compressed by
 * Snappy, gzip, zstd, Brotli, LZ4, or not.
 *
 * @param name what messages call it.
 * @param onBytes called with the bytes of the file that the rows so far take, about.
 * @throws RopewalkError when it is not a Parquet file, damaged, or asks for more memory than data of texts do.
 */
export async function* parquetRows(
  source: ByteSource,
  name: string,
  onBytes?: (bytes: number) => void,
): AsyncGenerator<DataRow> {
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
