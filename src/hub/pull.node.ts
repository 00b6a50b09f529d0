import { statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { describeFile, fetchListing, openFile } from './api.ts';
import { fetchBlob, hasSize } from './blob.node.ts';
import { ModelCache } from './cache.node.ts';
import { findCached, pathOf, readShards } from './cached.node.ts';
import { type Choice, chooseFiles, readableSize, someOf } from './choose.ts';
import type { ListedFile, Listing, RemoteFile } from './listing.ts';
import { checkRevision, isSafePath, type ModelId } from './model-id.ts';
import type { Connection } from './request.ts';
import { RequestError, type Timing } from './retry.ts';
import { type HubOptions, hubSettings, repositoryNamed } from './settings.node.ts';

/** The progress of a download, in bytes. */
export interface PullProgress {
  /** Over all files together, including those that were already there. */
  readonly done: number;
  readonly total: number;
  /** The file that is being downloaded, and its progress. */
  readonly file: string;
  readonly fileDone: number;
  readonly fileTotal: number;
}

export interface PullOptions extends HubOptions {
  /** A branch, a tag or a commit; `main` by default. */
  readonly revision?: string | undefined;
  /** One GGUF file, or its quantization (`Q4_K_M`), for models with several. */
  readonly file?: string | undefined;
  /** false: everything but the weights, to inspect a model's structure or use its tokenizer. */
  readonly weights?: boolean | undefined;
  /** true: asks the hub whether the revision has moved, even if everything is in the cache. */
  readonly update?: boolean | undefined;
  /** Rejects with its reason when it aborts; the bytes so far are kept, and the next call resumes. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

const FILES_AT_ONCE = 4;

/**
 * Downloads a model from the hub into the cache of Python's huggingface_hub, and returns its path. Only what a model
 * needs is fetched: configuration, tokenizer, chat template and safetensors weights (never pickles), or one GGUF file.
 * A model that is complete in the cache is used without network access.
 *
 *     const directory = await pullModel('google/gemma-2-2b-it');
 *
 * Hub, cache, token and offline mode are taken from the options, else from HF_ENDPOINT, HF_HUB_CACHE or HF_HOME,
 * HF_TOKEN or the file of `hf auth login`, and HF_HUB_OFFLINE. The token is sent only to the endpoint. The next call
 * resumes an interrupted download; a file appears only once its hash is verified.
 *
 * @param id `org/name`, `org/name@revision`, `org/name:file.gguf`, `org/name:Q4_K_M`, or the address of its page
 * @returns the snapshot's folder, or the GGUF file in it
 * @throws RopewalkError naming the remedy: the id or the revision does not exist, the license is not accepted, the
 *   server does not answer, the disk is full, a hash is wrong …
 */
export async function pullModel(id: string, options: PullOptions = {}): Promise<string> {
  const parsed = repositoryNamed(id, 'models', options);
  if (!parsed) {
    throw new RopewalkError(
      `${JSON.stringify(id)} is not the id of a model on the hub; ids look like google/gemma-2-2b-it, org/name@revision, org/name:file.gguf or org/name:Q4_K_M`,
    );
  }
  return pullWith(parsed, options);
}

/** `pullModel` with configurable timing, for tests. */
export async function pullWith(model: ModelId, options: PullOptions, timing?: Timing): Promise<string> {
  const { signal, weights, update } = options;
  signal?.throwIfAborted();
  const { id } = model;
  const revision = one('revision', model.revision, options.revision) ?? 'main';
  const file = one('file', model.file, options.file);
  checkRevision(revision);
  if (file !== undefined && !isSafePath(file)) {
    throw new RopewalkError(
      `${JSON.stringify(file)} is not the name of a file of a model; write it as the hub shows it`,
    );
  }
  const settings = hubSettings(options);
  const cache = new ModelCache(settings.cache, id, settings.symlinks);
  const wish = { file, weights };
  const cached = await findCached(cache, id, revision, wish);
  if (cached.path !== undefined && (settings.offline || (cached.complete && !update))) return cached.path;
  if (settings.offline) {
    throw new NotCachedError(
      `${id} (revision ${revision}) is not complete in the cache ${settings.cache}: missing ${someOf(cached.missing)}; ` +
        'offline mode is on: unset HF_HUB_OFFLINE and pull it with a network',
    );
  }
  const connection: Connection = { ...settings, timing: timing ?? settings.timing, signal };
  let listing: Listing;
  try {
    listing = await fetchListing(connection, id, revision);
  } catch (error) {
    // Without a network, what is in the cache is used; a server's refusal is reported.
    const silent = error instanceof RequestError && error.kind !== 'final';
    if (silent && cached.path !== undefined && !update) return cached.path;
    throw error;
  }
  const choice = chooseFiles(listing.files.values(), id, wish);
  await cache.writeFiles(listing.commit, listing.files);
  await download(connection, cache, id, listing, choice, options);
  await cache.writeRef(revision, listing.commit);
  return pathOf(cache, listing.commit, choice);
}

/** Network access is off, and the cache lacks part of what was requested. */
export class NotCachedError extends RopewalkError {}

/** Adds all chosen files to the snapshot, the index of shards last, so that an index implies its shards. */
export async function download(
  connection: Connection,
  cache: ModelCache,
  id: string,
  { commit, files }: Listing,
  choice: Choice,
  { onProgress = () => {} }: Pick<PullOptions, 'onProgress'>,
): Promise<void> {
  const stop = new AbortController();
  const signal = connection.signal ? AbortSignal.any([connection.signal, stop.signal]) : stop.signal;
  const asking: Connection = { ...connection, signal };
  const fetchFile = (file: RemoteFile, onBytes: (done: number) => void) =>
    fetchBlob(file, cache, {
      open: (range) => openFile(asking, id, commit, file, range),
      timing: connection.timing,
      signal,
      onBytes,
    });

  const describe = (file: ListedFile) => describeFile(asking, id, commit, file);
  const wanted: RemoteFile[] = [];
  for (const path of choice.files) wanted.push(await describe(files.get(path)!));
  const index = wanted.find(({ path }) => path === choice.index);
  if (index) {
    await fetchFile(index, () => {});
    for (const shard of await readShards(join(cache.blobs, index.hash))) {
      const file = files.get(shard);
      if (!file)
        throw new RopewalkError(
          `${id}: ${index.path} names ${shard}, which is missing; choose another revision`,
        );
      wanted.push(await describe(file));
    }
  }
  await checkSpace(cache, wanted);

  const total = wanted.reduce((sum, { size }) => sum + size, 0);
  const bytes = new Map<string, number>();
  let done = 0;
  const queue = wanted.values();
  const work = async () => {
    for (const file of queue) {
      await fetchFile(file, (fileDone) => {
        done += fileDone - (bytes.get(file.path) ?? 0);
        bytes.set(file.path, fileDone);
        onProgress({ done, total, file: file.path, fileDone, fileTotal: file.size });
      });
      if (file !== index) await cache.publish(commit, file);
    }
  };
  const workers = Array.from({ length: FILES_AT_ONCE }, () =>
    work().catch((error: unknown) => {
      stop.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(workers);
  await Promise.all(workers);
  if (index) await cache.publish(commit, index);
}

/** Refuses a download that cannot fit before it starts. */
async function checkSpace(cache: ModelCache, files: readonly RemoteFile[]): Promise<void> {
  let needed = 0;
  for (const { hash, size } of files) if (!(await hasSize(join(cache.blobs, hash), size))) needed += size;
  const free = await freeBytes(cache.blobs);
  if (free === undefined || needed <= free + ((await cache.partialBytes()) ?? 0)) return;
  throw new RopewalkError(
    `${cache.blobs}: the disk is full: the download needs ${readableSize(needed)}, and ${readableSize(free)} are free; ` +
      'free some space, or name a folder on another disk in HF_HUB_CACHE',
  );
}

/** Free space where a folder is, or will be; undefined if the system does not say. */
async function freeBytes(folder: string): Promise<number | undefined> {
  for (let path = folder; ; path = dirname(path)) {
    const status = await statfs(path).catch(() => undefined);
    if (status) return status.blocks > 0 ? status.bavail * status.bsize : undefined;
    if (dirname(path) === path) return undefined;
  }
}

/** A setting that may be given in two places; in both only with the same value. */
export function one(
  what: string,
  inId: string | undefined,
  inOptions: string | undefined,
): string | undefined {
  if (inId === undefined || inOptions === undefined || inId === inOptions) return inId ?? inOptions;
  throw new RopewalkError(
    `the id specifies the ${what} "${inId}" and the options specify "${inOptions}"; use only one of them`,
  );
}
