import { readdir, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { glob } from 'tinyglobby';
import { RopewalkError } from '../errors.ts';

/**
 * The files that match a pattern such as `texts/*.txt`, sorted by name; undefined if the name is not a pattern, or a
 * file or folder with exactly this name exists.
 *
 * @throws RopewalkError if nothing matches the pattern.
 */
export async function filesOfPattern(name: string): Promise<string[] | undefined> {
  if (!/[*?[{]/.test(name) || (await kindOf(name)) !== undefined) return undefined;
  const pattern = process.platform === 'win32' ? name.replaceAll('\\', '/') : name;
  const options = { onlyFiles: true, expandDirectories: false, absolute: isAbsolute(name) };
  const files = await glob(pattern, options);
  if (files.length === 0) throw new RopewalkError(`no file matches the pattern ${name}; check the path`);
  return files.sort();
}

/** Regular files below a folder, as relative paths with `/`, sorted; names that begin with a dot are skipped. */
export async function filesBelow(folder: string): Promise<string[]> {
  const files: string[] = [];
  const walk = async (prefix: string): Promise<void> => {
    for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue;
      const path = `${prefix}${entry.name}`;
      // Links to folders are not followed: they may form a loop.
      const kind = entry.isSymbolicLink() ? await kindOf(join(folder, path)) : undefined;
      if (entry.isDirectory()) await walk(`${path}/`);
      else if (entry.isFile() || kind === 'file') files.push(path);
    }
  };
  await walk('');
  return files.sort();
}

/** What a path refers to; undefined if nothing exists there. Other errors are left to the reader of the file. */
export async function kindOf(path: string): Promise<'file' | 'folder' | 'other' | undefined> {
  try {
    const status = await stat(path);
    if (status.isDirectory()) return 'folder';
    return status.isFile() ? 'file' : 'other';
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG' ? undefined : 'other';
  }
}
