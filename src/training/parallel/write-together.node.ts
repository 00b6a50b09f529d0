import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { float32ToBfloat16 } from '../../checkpoint/dtypes.ts';
import { layOutSafetensors, type TensorEntry } from '../../checkpoint/safetensors/writer.ts';
import { RopewalkError } from '../../errors.ts';
import { type AtomicOptions, writeDirectoryAtomic } from '../../files/atomic.node.ts';
import { fileError } from '../../files/file-errors.ts';
import type { RunRanks } from './ranks.ts';

/** A safetensors file that all ranks write at once, each its ranges. */
export interface SharedFile {
  readonly name: string;
  /** All tensors of the file: the same on every rank. */
  readonly entries: readonly TensorEntry[];
  readonly metadata?: Readonly<Record<string, string>>;
  /** What this rank writes. All ranks together write everything. */
  readonly ranges: readonly WrittenRange[];
}

/** Elements of a tensor, from `start` on. float32 values are rounded if the file has bfloat16. */
export interface WrittenRange {
  readonly name: string;
  readonly start: number;
  readonly data: Float32Array | Uint16Array | Uint8Array;
}

/** Elements that are rounded at once. */
const CHUNK = 2 ** 19;

/**
 * Writes a folder that appears complete or not at all, with files that all ranks write at once. All ranks call it.
 *
 * @param fillAlone what the first rank writes.
 * @throws RopewalkError on every rank if any of them cannot write; what was there before is then unchanged.
 */
export function writeDirectoryTogether(
  ranks: RunRanks,
  path: string,
  files: readonly SharedFile[],
  fillAlone: (directory: string) => Promise<void>,
  options: AtomicOptions = {},
): Promise<void> {
  return together(ranks, files, (fill) =>
    writeDirectoryAtomic(
      path,
      async (directory) => {
        await fillAlone(directory);
        await fill(directory);
      },
      options,
    ),
  );
}

/** Writes files that all ranks write at once into an existing folder, where each appears complete or not at all. */
export function writeFilesTogether(
  ranks: RunRanks,
  directory: string,
  files: readonly SharedFile[],
): Promise<void> {
  return together(ranks, files, async (fill) => {
    const beside = join(directory, '.writing');
    await rm(beside, { recursive: true, force: true });
    await mkdir(beside);
    await fill(beside);
    for (const { name } of files) await rename(join(beside, name), join(directory, name));
    await rm(beside, { recursive: true });
  });
}

/** @param lead what the first rank does; it calls `fill` once, with the folder for the files. */
async function together(
  ranks: RunRanks,
  files: readonly SharedFile[],
  lead: (fill: (directory: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const { communicator } = ranks;
  if (!ranks.isFirst) {
    const told = JSON.parse((await communicator.gather(''))[0]!) as { directory?: string };
    if (told.directory !== undefined) await writeOwn(ranks, told.directory, files).catch(() => {});
    const [outcome] = await communicator.gather('');
    if (outcome !== '') throw new RopewalkError(outcome!);
    return;
  }
  let isTold = false;
  const outcome = await lead(async (directory) => {
    for (const file of files) await create(directory, file);
    isTold = true;
    await communicator.gather(JSON.stringify({ directory }));
    await writeOwn(ranks, directory, files);
  }).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!isTold) await communicator.gather('{}');
  await communicator.gather(outcome === undefined ? '' : messageOf(outcome));
  if (outcome !== undefined) throw outcome;
}

/** @throws RopewalkError on every rank if one of them cannot write. */
async function writeOwn(ranks: RunRanks, directory: string, files: readonly SharedFile[]): Promise<void> {
  let problem = '';
  for (const file of files) {
    if (problem === '')
      problem = await writeRanges(directory, file).then(
        () => '',
        (error: unknown) => messageOf(error),
      );
  }
  const problems = await ranks.communicator.gather(problem);
  const failed = problems.findIndex((each) => each !== '');
  if (failed >= 0) throw new RopewalkError(`rank ${failed}: ${problems[failed]}`);
}

async function create(directory: string, { name, entries, metadata }: SharedFile): Promise<void> {
  const path = join(directory, name);
  const { header, size } = layOutSafetensors(entries, metadata);
  try {
    const handle = await open(path, 'wx');
    try {
      await handle.write(header, 0, header.byteLength, 0);
      await handle.truncate(size);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError(error, 'write', path);
  }
}

async function writeRanges(
  directory: string,
  { name: fileName, entries, metadata, ranges }: SharedFile,
): Promise<void> {
  const path = join(directory, fileName);
  const { places } = layOutSafetensors(entries, metadata);
  const types = new Map(entries.map(({ name, dtype }) => [name, dtype]));
  try {
    const handle = await open(path, 'r+');
    try {
      for (const { name, start, data } of ranges) {
        const rounds = types.get(name) === 'BF16' && data instanceof Float32Array;
        const size = rounds ? 2 : data.BYTES_PER_ELEMENT;
        const codes = new Uint16Array(rounds ? Math.min(CHUNK, data.length) : 0);
        for (let at = 0; at < data.length; at += CHUNK) {
          let part: Float32Array | Uint16Array | Uint8Array = data.subarray(at, at + CHUNK);
          if (rounds) {
            const short = codes.subarray(0, part.length);
            float32ToBfloat16(part as Float32Array, short);
            part = short;
          }
          const bytes = new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
          await writeFully(handle, bytes, places.get(name)! + size * (start + at));
        }
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError(error, 'write', path);
  }
}

async function writeFully(
  handle: Awaited<ReturnType<typeof open>>,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, position + done);
    done += bytesWritten;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
