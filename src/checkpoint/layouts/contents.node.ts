import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { abandonedPartials } from '../../files/atomic.node.ts';
import { errorCode, fileError } from '../../files/file-errors.ts';
import { isAlive, lookAtLock } from '../../files/lock-file.node.ts';
import { checksum } from './checksum.node.ts';
import { LAYOUT_VERSION, type LayoutDescription, openLayout } from './layout-file.node.ts';
import { type LayoutFile, layoutFiles } from './room.node.ts';
import { VOCABULARY_TAKER } from './vocabularies.node.ts';

/** A layout in the cache. */
export interface KeptLayout extends LayoutFile {
  /** `layout:` and the beginning of its key, for commands. */
  readonly id: string;
  /** Undefined if the file is not a whole layout. */
  readonly description: LayoutDescription | undefined;
}

/** Why a file of the cache can be removed without loss. */
export type LayoutWaste = 'interrupted' | 'damaged' | 'another version' | 'model is gone';

/**
 * The layouts in a folder, the least recently used first; none if there is no such folder.
 *
 * @throws RopewalkError for a folder that cannot be read.
 */
export async function listLayouts(folder: string): Promise<KeptLayout[]> {
  let files: LayoutFile[];
  try {
    files = await layoutFiles(folder);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return [];
    throw fileError(error, 'read', folder);
  }
  return Promise.all(
    files.map(async (file) => {
      const opened = await openLayout(file.path).catch(() => undefined);
      await opened?.handle.close();
      return { ...file, id: `layout:${file.path.slice(-47, -35)}`, description: opened?.description };
    }),
  );
}

/** Whether a layout's bytes have their checksums. @param onRead called with the bytes of each piece. */
export async function isIntact(
  { path, description }: KeptLayout,
  onRead: (bytes: number) => void = () => {},
  signal?: AbortSignal,
): Promise<boolean> {
  if (!description) return false;
  const file = await open(path, 'r').catch((error: unknown) => {
    throw fileError(error, 'read', path);
  });
  try {
    for (const { offset, bytes, checksum: expected } of description.pieces) {
      signal?.throwIfAborted();
      const piece = new Uint8Array(bytes);
      for (let done = 0; done < bytes; ) {
        const { bytesRead } = await file.read(piece, done, bytes - done, offset + done);
        if (bytesRead === 0) return false;
        done += bytesRead;
      }
      if (checksum(piece) !== expected) return false;
      onRead(bytes);
    }
    return true;
  } finally {
    await file.close();
  }
}

/**
 * What is of no use any more: leftovers of interrupted processes, damaged layouts, those of another version of
 * Ropewalk or of the engine, and those of models that are gone.
 *
 * @param engine name and version of the engine.
 */
export async function wastedLayouts(
  folder: string,
  engine: string,
): Promise<{ path: string; id: string; bytes: number; reason: LayoutWaste }[]> {
  const wasted: { path: string; id: string; bytes: number; reason: LayoutWaste }[] = [];
  for (const path of await leftovers(folder)) {
    const found = await stat(path).catch(() => undefined);
    wasted.push({ path, id: 'layout', bytes: found?.size ?? 0, reason: 'interrupted' });
  }
  for (const { path, id, bytes, description } of await listLayouts(folder)) {
    const reason = await wasteOf(description, engine);
    if (reason) wasted.push({ path, id, bytes, reason });
  }
  return wasted;
}

async function wasteOf(
  description: LayoutDescription | undefined,
  engine: string,
): Promise<LayoutWaste | undefined> {
  if (!description) return 'damaged';
  const { version, engine: taker } = description;
  if (version !== LAYOUT_VERSION || ![engine, VOCABULARY_TAKER].includes(taker)) return 'another version';
  const isThere = await stat(description.source).then(
    () => true,
    () => false,
  );
  return isThere ? undefined : 'model is gone';
}

/** Partial files and locks of processes that are gone. */
async function leftovers(folder: string): Promise<string[]> {
  const found: string[] = await abandonedPartials(folder).catch(() => []);
  for (const name of await readdir(folder).catch(() => [])) {
    if (!/\.(layout|packed)\.lock$/.test(name)) continue;
    const lock = await lookAtLock(join(folder, name)).catch(() => undefined);
    if (lock && isAlive(lock.text) === false) found.push(join(folder, name));
  }
  return found;
}

/** @throws RopewalkError for a file that cannot be removed. */
export async function removeLayout(path: string): Promise<void> {
  await rm(path, { force: true }).catch((error: unknown) => {
    throw fileError(error, 'remove', path);
  });
}
