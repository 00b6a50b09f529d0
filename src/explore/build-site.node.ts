import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileError } from '../files/file-errors.ts';
import { findContent } from './content.node.ts';
import { type SiteFile, siteFiles } from './files.node.ts';

/**
 * Writes the site as a folder for any web server. Without the headers that isolate a page, it runs single-threaded.
 *
 * @param content paths of models and ablations, as for {@link findContent}.
 */
export async function buildSite(out: string, content: readonly string[], page?: string): Promise<void> {
  const files = await siteFiles(await findContent(content), page);
  for (const [name, file] of files) await place(join(out, ...name.split('/')), file);
}

async function place(path: string, file: SiteFile): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    if ('content' in file) await writeFile(path, file.content);
    else if (file.path !== path) await copyFile(file.path, path);
  } catch (error) {
    throw fileError(error, 'write', path);
  }
}
