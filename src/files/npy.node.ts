import { RopewalkError } from '../errors.ts';
import { writeFileAtomic } from './atomic.node.ts';
import { npyHeader } from './npy.ts';

/**
 * Writes a float32 matrix `[rows, columns]` as an `.npy` file, one block in memory at a time. The file appears
 * complete or not at all.
 * @param blocks consecutive values, row-major, of any lengths; `rows · columns` in all
 * @throws RopewalkError if there are more or fewer values, and if the file cannot be written
 */
export async function writeNpyFile(
  path: string,
  [rows, columns]: readonly [rows: number, columns: number],
  blocks: AsyncIterable<Float32Array> | Iterable<Float32Array>,
): Promise<void> {
  await writeFileAtomic(path, async (sink) => {
    await sink.write(npyHeader([rows, columns]));
    let count = 0;
    for await (const block of blocks) {
      count += block.length;
      if (count > rows * columns) break;
      await sink.write(new Uint8Array(block.buffer, block.byteOffset, block.byteLength));
    }
    if (count !== rows * columns) {
      throw new RopewalkError(
        `cannot write ${path}: [${rows}, ${columns}] needs ${rows * columns} values and got ${count > rows * columns ? 'more' : count}`,
      );
    }
  });
}
