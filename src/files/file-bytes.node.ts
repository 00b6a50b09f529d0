import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { RopewalkError } from '../errors.ts';

/**
 * The bytes of a file, piece by piece; decompressed if its name ends in `.gz`.
 *
 * @param onBytes called with the number of bytes read so far.
 * @throws RopewalkError for a `.gz` file that is not in gzip format or is truncated; Node's errors otherwise.
 */
export async function* fileBytes(path: string, onBytes?: (bytes: number) => void): AsyncGenerator<Buffer> {
  const file = createReadStream(path, { highWaterMark: 1 << 20 });
  let read = 0;
  if (!path.toLowerCase().endsWith('.gz')) {
    for await (const bytes of file as AsyncIterable<Buffer>) {
      read += bytes.length;
      onBytes?.(read);
      yield bytes;
    }
    return;
  }
  file.on('data', (bytes) => {
    read += bytes.length;
    onBytes?.(read);
  });
  const gunzip = createGunzip({ chunkSize: 1 << 20 });
  file.on('error', (error) => gunzip.destroy(error));
  try {
    yield* file.pipe(gunzip) as AsyncIterable<Buffer>;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && String(error.code).startsWith('Z_'))) throw error;
    throw new RopewalkError(
      `${path}: its name ends in .gz, but it is not a complete gzip file (${error.message}); rename it if it is not compressed, otherwise compress it again`,
      { cause: error },
    );
  } finally {
    file.destroy();
  }
}
