import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileError } from '../files/file-errors.ts';
import { type SiteFile, siteFiles } from './files.node.ts';
import { findModels } from './models.node.ts';

/**
 * Writes the site as a folder for any web server. Without the headers that isolate a page, it runs on one thread.
 *
 * @param models paths of models, as {@link findModels} takes them.
 */
export async function buildSite(out: string, models: readonly string[], page?: string): Promise<void> {
  const files = await siteFiles(await findModels(models), page);
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
