import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { RopewalkError } from '../../errors.ts';
import { errorCode, fileError } from '../../files/file-errors.ts';
import { type PullDatasetOptions, pullDatasetWith } from '../../hub/pull-dataset.node.ts';
import { isAbsent } from '../../hub/resolve.node.ts';
import { repositoryNamed } from '../../hub/settings.node.ts';
import { DATA_FILE_ENDINGS } from './read-rows.node.ts';

/**
 * The files of data that are named by paths of files, by folders of them, or by ids of data sets on the hub (`org/name`,
 * `org/name@revision`, `org/name:train.jsonl`), which are downloaded if need be. What is there by that name wins.
 *
 * @returns paths, in the order of the names; those of a folder in the order of theirs
 * @throws RopewalkError saying what was tried
 */
export async function resolveData(
  names: readonly string[],
  options: PullDatasetOptions = {},
): Promise<string[]> {
  const files: string[] = [];
  for (const name of names) files.push(...(await filesOf(name, options)));
  return files;
}

async function filesOf(name: string, options: PullDatasetOptions): Promise<string[]> {
  const isFolder = await stat(name).then(
    (status) => status.isDirectory(),
    (error: unknown) => {
      if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined;
      throw fileError(error, 'read', name);
    },
  );
  if (isFolder === false) return [name];
  if (isFolder) return filesIn(name);
  const shown = JSON.stringify(name);
  const id = repositoryNamed(name, 'datasets', options);
  if (!id) {
    throw new RopewalkError(
      `${shown}: no such file or folder (${resolve(name)}), nor the id of a data set on the hub, which looks like org/name; check the path`,
    );
  }
  try {
    return await pullDatasetWith(id, options);
  } catch (error) {
    if (!isAbsent(error)) throw error;
    throw new RopewalkError(
      `${shown}: no such file or folder here; as a data set on the hub: ${error.message}`,
      { cause: error },
    );
  }
}

async function filesIn(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    throw fileError(error, 'read', folder);
  }
  const data = names.filter((name) =>
    DATA_FILE_ENDINGS.some((ending) => name.toLowerCase().endsWith(`.${ending}`)),
  );
  if (data.length > 0) return data.sort().map((name) => join(folder, name));
  throw new RopewalkError(
    `${folder}: this folder has no data files (${DATA_FILE_ENDINGS.join(', ')}); name others`,
  );
}
