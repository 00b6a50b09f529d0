import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RopewalkError } from '../errors.ts';
import { errorCode } from '../files/file-errors.ts';
import { mobyDick } from '../text/moby-dick.node.ts';
import type { SiteContent } from './content.node.ts';
import { ENGINE_FILES, ENGINE_FOLDER, SITE_INDEX, type SiteIndex, TEXT_FILE } from './site.ts';

/** A file of the site: its path, or its content. */
export type SiteFile = { readonly path: string } | { readonly content: string };

/** Where `npm run build` puts the page; this file is two folders below the package's root, built or not. */
const PAGE = fileURLToPath(new URL('../../dist/explorer/', import.meta.url));

/**
 * All files of the site by address, without the leading slash: the page, the engine, the built-in text, models and
 * ablations. Nothing else is served.
 *
 * @throws RopewalkError if the page has not been built or the engine is not installed, with the remedy.
 */
export async function siteFiles(
  { models, ablations }: SiteContent,
  page: string = PAGE,
): Promise<Map<string, SiteFile>> {
  const files = new Map<string, SiteFile>();
  for (const name of await pageFiles(page)) files.set(name, { path: join(page, name) });
  const engine = engineFolder();
  for (const name of ENGINE_FILES) files.set(`${ENGINE_FOLDER}/${name}`, { path: join(engine, name) });
  files.set(TEXT_FILE, { content: await mobyDick() });
  const index: SiteIndex = {
    models: models.map(({ paths: _, ...model }) => model),
    ablations: ablations.map(({ path: _, ...ablation }) => ablation),
  };
  files.set(SITE_INDEX, { content: JSON.stringify(index) });
  for (const { id, paths } of models) {
    for (const [name, path] of paths) files.set(`models/${id}/${name}`, { path });
  }
  for (const { id, path } of ablations) files.set(`ablations/${id}.json`, { path });
  return files;
}

async function pageFiles(page: string): Promise<string[]> {
  try {
    const entries = await readdir(page, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(page.length).replaceAll('\\', '/'))
      .map((name) => name.replace(/^\//, ''));
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    throw new RopewalkError(
      `${page}: the page has not been built; run "npm run build" in Ropewalk's folder.`,
    );
  }
}

function engineFolder(): string {
  try {
    return dirname(createRequire(import.meta.url).resolve('onnxruntime-web/wasm'));
  } catch (error) {
    throw new RopewalkError(
      'the package onnxruntime-web, which runs models in the page, is not installed; run "npm install onnxruntime-web".',
      { cause: error },
    );
  }
}
