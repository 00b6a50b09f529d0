import { readdir, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { glob } from 'tinyglobby';
import { RopewalkError } from '../errors.ts';

/**
 * The files that a pattern such as `texts/*.txt` names, in the order of their names; undefined where the name is no pattern,
 * or something of just this name is there.
 *
 * @throws RopewalkError where nothing fits the pattern.
 */
export async function filesOfPattern(name: string): Promise<string[] | undefined> {
  if (!/[*?[{]/.test(name) || (await kindOf(name)) !== undefined) return undefined;
  const pattern = process.platform === 'win32' ? name.replaceAll('\\', '/') : name;
  const options = { onlyFiles: true, expandDirectories: false, absolute: isAbsolute(name) };
  const files = await glob(pattern, options);
  if (files.length === 0) throw new RopewalkError(`no file matches the pattern ${name}; check the path`);
  return files.sort();
}

/** Regular files below a folder, as paths from it with `/`, in order; what begins with a dot is passed over. */
export async function filesBelow(folder: string): Promise<string[]> {
  const files: string[] = [];
  const walk = async (prefix: string): Promise<void> => {
    for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue;
      const path = `${prefix}${entry.name}`;
      // Links to folders are not followed: they may lead in a circle.
      const kind = entry.isSymbolicLink() ? await kindOf(join(folder, path)) : undefined;
      if (entry.isDirectory()) await walk(`${path}/`);
      else if (entry.isFile() || kind === 'file') files.push(path);
    }
  };
  await walk('');
  return files.sort();
}

/** What a path leads to; undefined where there is nothing. Other errors are left to whoever reads it. */
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
