import { type AsyncBuffer, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { RopewalkError } from '../../errors.ts';
import type { ByteSource } from '../../files/source.ts';
import { boundedCompressors, checkGroup, MOST_METADATA } from './parquet-bounds.ts';
import type { DataRow } from './rows.ts';

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
    await trying(() => checkGroup(source, metadata.schema, group, wrong));
    const rows = await trying(() =>
      parquetReadObjects({ file, metadata, rowStart, rowEnd, compressors: boundedCompressors(wrong) }),
    );
    for (const [i, values] of rows.entries()) yield { where: `${name}, row ${rowStart + i + 1}`, values };
    rowStart = rowEnd;
  }
}
