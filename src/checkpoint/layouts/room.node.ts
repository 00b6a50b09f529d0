import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { abandonedPartials } from '../../files/atomic.node.ts';

/** A layout file in a folder. */
export interface LayoutFile {
  readonly path: string;
  readonly bytes: number;
  /** When it was last used; milliseconds since 1970. */
  readonly used: number;
}

/** The layout files of a folder, the least recently used first. */
export async function layoutFiles(folder: string): Promise<LayoutFile[]> {
  const files: LayoutFile[] = [];
  for (const name of await readdir(folder)) {
    if (!/^[0-9a-f]{40}\.(layout|packed)$/.test(name)) continue;
    const path = join(folder, name);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isFile()) files.push({ path, bytes: found.size, used: found.mtimeMs });
  }
  return files.sort((a, b) => a.used - b.used || (a.path < b.path ? -1 : 1));
}

/**
 * Removes what interrupted processes left behind and, the least recently used first, as many layouts as are needed
 * so that one more of `bytes` does not exceed the limit. A process that uses one keeps its mapping.
 */
export async function makeRoom(folder: string, bytes: number, limit: number): Promise<void> {
  for (const path of await abandonedPartials(folder)) await rm(path, { force: true });
  const files = await layoutFiles(folder);
  let total = files.reduce((sum, file) => sum + file.bytes, bytes);
  for (const file of files) {
    if (total <= limit) return;
    await rm(file.path, { force: true });
    total -= file.bytes;
  }
}
