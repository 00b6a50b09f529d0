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
  /** Called with the chosen files and the remaining ones. */
  readonly onChosen?: ((choice: ChosenData) => void) | undefined;
}

/**
 * Downloads the data files of a dataset from the hub into the cache of Python's huggingface_hub, and returns their
 * paths: the named file or folder, or else the training split. No code of a dataset is executed. Otherwise like {@link
 * pullModel}.
 *
 *     const files = await pullDataset('org/name');
 *
 * @param id `org/name`, `org/name@revision` or `org/name:path`
 * @returns paths, sorted by name
 * @throws RopewalkError naming the remedy
 */
export async function pullDataset(id: string, options: PullDatasetOptions = {}): Promise<string[]> {
  const parsed = repositoryNamed(id, 'datasets', options);
  if (!parsed) {
    throw new RopewalkError(
      `${JSON.stringify(id)} is not the id of a dataset on the hub; ids look like org/name, org/name@revision or org/name:train.jsonl`,
    );
  }
  return pullDatasetWith(parsed, options);
}

/** `pullDataset` with configurable timing, for tests. */
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
      `${JSON.stringify(file)} is not the name of a file in a dataset; write it as the hub shows it`,
    );
  }
  const settings = hubSettings(options);
  const cache = new ModelCache(settings.cache, id, settings.symlinks, 'datasets');
  const cached = await findCached(cache, id, revision, file);
  if (cached.choice) options.onChosen?.(cached.choice);
  if (cached.paths && (settings.offline || !update)) return cached.paths;
  if (settings.offline) {
    throw new NotCachedError(
      `the dataset ${id} (revision ${revision}) is not complete in the cache ${settings.cache}: missing ${someOf(cached.missing)}; ` +
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
    // Without a network, what is in the cache is used; a server's refusal is reported.
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

/** The files in the cache, without the network; they are known only from the recorded list of a commit's files. */
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
