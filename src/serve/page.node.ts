import { readdir, readFile } from 'node:fs/promises';
import { extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RopewalkError } from '../errors.ts';
import type { PageFile, PageFiles } from './page.ts';

/** Where `npm run build` puts the page; this file is two folders below the package's root, built or not. */
const FOLDER = fileURLToPath(new URL('../../dist/playground/', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
};

/**
 * The playground, for the `page` option of `serve`.
 *
 * @throws RopewalkError if it has not been built.
 */
export async function playgroundPage(folder: string = FOLDER): Promise<PageFiles> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = new Map<string, PageFile>();
  for (const entry of entries.filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name);
    const type = TYPES[extname(path)];
    if (type === undefined) continue;
    const content = new Uint8Array(await readFile(path));
    files.set(relative(folder, path).replaceAll('\\', '/'), { type, content });
  }
  if (files.has('index.html')) return files;
  throw new RopewalkError(
    `${folder}: the page has not been built; run "npm run build" in Ropewalk's folder, or serve without the page.`,
  );
}
