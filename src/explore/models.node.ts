import { readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { resolveInside } from '../checkpoint/directory.node.ts';
import { ggufIn } from '../checkpoint/gguf/reading/open.node.ts';
import {
  CARRIED_FILES,
  CONFIG_FILE,
  GENERATION_CONFIG_FILE,
  WEIGHTS_INDEX,
} from '../checkpoint/model-files.ts';
import { RopewalkError } from '../errors.ts';
import { fileError } from '../files/file-errors.ts';
import type { SiteModel } from './site.ts';

/** A model of the site and the paths of its files. */
export interface FoundModel extends SiteModel {
  /** The path of each file, by name. */
  readonly paths: ReadonlyMap<string, string>;
}

/**
 * The models at the given paths: a model directory, a GGUF file, or the folder of a run with several models.
 *
 * @throws RopewalkError for a path without a model.
 */
export async function findModels(paths: readonly string[]): Promise<FoundModel[]> {
  const found: FoundModel[] = [];
  for (const path of paths) {
    const models = await modelsIn(path);
    if (models.length === 0) {
      throw new RopewalkError(
        `${path}: there is no model; name a model directory, a .gguf file, the folder of a finished run, or that of an ablation.`,
      );
    }
    found.push(...models);
  }
  return withOwnIds(found);
}

/** If several have the same id, all but the first get a number. */
export function withOwnIds<T extends { readonly id: string }>(found: readonly T[]): T[] {
  const taken = new Set<string>();
  return found.map((each) => {
    let { id } = each;
    for (let n = 2; taken.has(id); n++) id = `${each.id}-${n}`;
    taken.add(id);
    return { ...each, id };
  });
}

/** The models at a path, or in the folders directly below it; may be empty. */
export async function modelsIn(path: string): Promise<FoundModel[]> {
  const status = await stat(path).catch((error: unknown) => {
    throw fileError(error, 'open', path);
  });
  if (status.isFile()) {
    const gguf = await ggufIn(path);
    return gguf === undefined ? [] : [await listed(basename(gguf), new Map([[basename(gguf), gguf]]))];
  }
  const own = await directoryModel(path);
  if (own) return [own];
  const gguf = await ggufIn(path).catch(() => undefined);
  if (gguf !== undefined) return [await listed(basename(gguf), new Map([[basename(gguf), gguf]]))];
  const models: FoundModel[] = [];
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const model = entry.isDirectory() ? await directoryModel(join(path, entry.name)) : undefined;
    if (model) models.push(model);
  }
  return models.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A directory with a config.json and weights; otherwise undefined. */
async function directoryModel(path: string): Promise<FoundModel | undefined> {
  if (!(await resolveInside(path, CONFIG_FILE))) return undefined;
  const names = (await readdir(path)).filter(
    (name) =>
      CARRIED_FILES.includes(name) ||
      [CONFIG_FILE, GENERATION_CONFIG_FILE, WEIGHTS_INDEX].includes(name) ||
      name.endsWith('.safetensors'),
  );
  if (!names.some((name) => name.endsWith('.safetensors'))) return undefined;
  const files = new Map<string, string>();
  for (const name of names.sort()) {
    const real = await resolveInside(path, name);
    if (real !== undefined) files.set(name, real);
  }
  return listed(basename(resolve(path)), files);
}

async function listed(name: string, paths: ReadonlyMap<string, string>): Promise<FoundModel> {
  let bytes = 0;
  for (const path of paths.values()) bytes += (await stat(path)).size;
  const id = name.replace(/[^\w.-]+/g, '-').replace(/^\.+/, '') || 'model';
  return { id, name, files: [...paths.keys()], bytes, paths };
}
