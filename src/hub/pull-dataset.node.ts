import { RopewalkError } from '../errors.ts';
import { fetchListing } from './api.ts';
import { ModelCache } from './cache.node.ts';
import { someOf } from './choose.ts';
import { type ChosenData, chooseDataFiles } from './choose-data.ts';
import { checkRevision, isSafePath, type ModelId } from './model-id.ts';
import { download, NotCachedError, one, type PullOptions } from './pull.node.ts';
import type { Connection } from './request.ts';
import { RequestError, type Timing } from './retry.ts';
import { hubSettings, repositoryNamed } from './settings.node.ts';

export interface PullDatasetOptions extends Omit<PullOptions, 'weights'> {
  /** Called with the files that were chosen, and those that were left. */
  readonly onChosen?: ((choice: ChosenData) => void) | undefined;
}

/**
 * Downloads the data files of a data set from the hub into the cache that Python's huggingface_hub uses, and says where
 * they are: the file or folder that is named, else the training split. Nothing of a data set is executed. As
 * {@link pullModel} in all else.
 *
 *     const files = await pullDataset('org/name');
 *
 * @param id `org/name`, `org/name@revision` or `org/name:path`
 * @returns paths, in the order of their names
 * @throws RopewalkError saying what to do
 */
export async function pullDataset(id: string, options: PullDatasetOptions = {}): Promise<string[]> {
  const parsed = repositoryNamed(id, 'datasets', options);
  if (!parsed) {
    throw new RopewalkError(
      `${JSON.stringify(id)} is not the id of a data set on the hub; ids look like org/name, org/name@revision or org/name:train.jsonl`,
    );
  }
  return pullDatasetWith(parsed, options);
}

/** `pullDataset` with another patience, for tests. */
export async function pullDatasetWith(
  dataset: ModelId,
  options: PullDatasetOptions,
  timing?: Timing,
): Promise<string[]> {
  const { signal, update } = options;
  signal?.throwIfAborted();
  const { id } = dataset;
  const revision = one('revision', dataset.revision, options.revision) ?? 'main';
  const file = one('file', dataset.file, options.file);
  checkRevision(revision);
  if (file !== undefined && !isSafePath(file)) {
    throw new RopewalkError(
      `${JSON.stringify(file)} is not the name of a file of a data set; give it as the hub shows it`,
    );
  }
  const settings = hubSettings(options);
  const cache = new ModelCache(settings.cache, id, settings.symlinks, 'datasets');
  const cached = await findCached(cache, id, revision, file);
  if (cached.choice) options.onChosen?.(cached.choice);
  if (cached.paths && (settings.offline || !update)) return cached.paths;
  if (settings.offline) {
    throw new NotCachedError(
      `the data set ${id} (revision ${revision}) is not complete in the cache ${settings.cache}: missing ${someOf(cached.missing)}; ` +
        'offline mode is on: unset HF_HUB_OFFLINE and pull it with a network',
    );
  }
  const connection: Connection = {
    ...settings,
    timing: timing ?? settings.timing,
    signal,
    repository: 'datasets',
  };
  const listing = await fetchListing(connection, id, revision).catch((error: unknown) => {
    // What is there will do where there is no network; a server that says no is heard.
    const silent = error instanceof RequestError && error.kind !== 'final';
    if (silent && cached.paths) return undefined;
    throw error;
  });
  if (!listing) return cached.paths!;
  const choice = chooseDataFiles(listing.files.keys(), id, { named: file });
  const files = choice.chosen;
  if (!cached.choice) options.onChosen?.(choice);
  await cache.writeFiles(listing.commit, listing.files);
  await download(connection, cache, id, listing, { files }, options);
  await cache.writeRef(revision, listing.commit);
  return files.map((path) => cache.pointer(listing.commit, path));
}

/** The files in the cache, without the network; only what was noted of a commit's files tells which they are. */
async function findCached(
  cache: ModelCache,
  id: string,
  revision: string,
  file: string | undefined,
): Promise<{ paths?: string[]; choice?: ChosenData; missing: readonly string[] }> {
  const commit = await cache.commitOf(revision);
  const noted = commit === undefined ? undefined : await cache.files(commit);
  if (commit === undefined || !noted) return { missing: ['all of it'] };
  const choice = chooseDataFiles(noted.files.keys(), id, { named: file });
  const { chosen } = choice;
  const missing: string[] = [];
  for (const path of chosen) {
    if (!(await cache.hasFile(commit, noted.files.get(path)!))) missing.push(path);
  }
  return missing.length > 0
    ? { missing }
    : { paths: chosen.map((path) => cache.pointer(commit, path)), choice, missing };
}
