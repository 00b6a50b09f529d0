import type { Dirent } from 'node:fs';
import { lstat, readdir, readFile, readlink, stat } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { errorCode, fileError } from '../files/file-errors.ts';
import { isCommit } from './model-id.ts';

/** A model or a dataset in the cache of Python's huggingface_hub. */
export interface CachedRepository {
  readonly kind: 'models' | 'datasets';
  /** `org/name`, or only a name. */
  readonly id: string;
  readonly folder: string;
  /** Complete files, by the hash that names them. */
  readonly blobs: readonly CachedBlob[];
  readonly revisions: readonly CachedRevision[];
  /** Downloads that were interrupted or are running. */
  readonly partial: readonly CachedBlob[];
  /** The total size on disk. */
  readonly bytes: number;
}

export interface CachedBlob {
  readonly path: string;
  readonly hash: string;
  readonly bytes: number;
  /** When it was written or last read, whichever is later; milliseconds. */
  readonly used: number;
}

export interface CachedRevision {
  readonly commit: string;
  readonly folder: string;
  /** Branches and tags that point to it. */
  readonly refs: readonly string[];
  /** Paths in the snapshot, and the hash of the blob that each is a link to; undefined for a copy. */
  readonly files: readonly {
    readonly path: string;
    readonly hash: string | undefined;
    readonly isThere: boolean;
  }[];
}

/**
 * The contents of a cache, sorted by name.
 *
 * @param cache the folder; if it does not exist, the cache is empty.
 * @throws RopewalkError for a folder that cannot be read.
 */
export async function listCache(cache: string): Promise<CachedRepository[]> {
  const repositories: CachedRepository[] = [];
  for (const entry of await entriesOf(cache)) {
    const [, kind, name] = /^(models|datasets)--(.+)$/.exec(entry.name) ?? [];
    // A link could lead anywhere; the cache has none at this place.
    if (!kind || !name || !entry.isDirectory()) continue;
    const id = name.replaceAll('--', '/');
    repositories.push(await readRepository(kind as 'models' | 'datasets', id, join(cache, entry.name)));
  }
  return repositories;
}

async function readRepository(
  kind: 'models' | 'datasets',
  id: string,
  folder: string,
): Promise<CachedRepository> {
  const files: CachedBlob[] = [];
  for (const { name } of await entriesOf(join(folder, 'blobs'))) {
    const path = join(folder, 'blobs', name);
    const found = await lstat(path).catch(() => undefined);
    if (!found?.isFile()) continue;
    files.push({ path, hash: name, bytes: found.size, used: Math.max(found.atimeMs, found.mtimeMs) });
  }
  const isPartial = ({ hash }: CachedBlob) => /\.(incomplete|pointer)$/.test(hash);
  const refs = await readRefs(join(folder, 'refs'));
  const revisions: CachedRevision[] = [];
  for (const { name } of await entriesOf(join(folder, 'snapshots'))) {
    if (!isCommit(name)) continue;
    const snapshot = join(folder, 'snapshots', name);
    const names = refs.filter(({ commit }) => commit === name).map(({ ref }) => ref);
    revisions.push({ commit: name, folder: snapshot, refs: names, files: await readSnapshot(snapshot) });
  }
  return {
    ...{ kind, id, folder, revisions },
    blobs: files.filter((file) => !isPartial(file)),
    partial: files.filter(isPartial),
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

async function readSnapshot(folder: string): Promise<CachedRevision['files']> {
  const files: { path: string; hash: string | undefined; isThere: boolean }[] = [];
  for (const entry of await entriesOf(folder, true)) {
    if (entry.isDirectory()) continue;
    const full = join(entry.parentPath, entry.name);
    const target = entry.isSymbolicLink() ? await readlink(full) : undefined;
    files.push({
      path: relative(folder, full).replaceAll(sep, '/'),
      hash: target === undefined ? undefined : basename(target),
      isThere: await stat(full).then(
        (found) => found.isFile(),
        () => false,
      ),
    });
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function readRefs(folder: string): Promise<{ ref: string; commit: string }[]> {
  const refs: { ref: string; commit: string }[] = [];
  for (const entry of await entriesOf(folder, true)) {
    if (!entry.isFile()) continue;
    const full = join(entry.parentPath, entry.name);
    const commit = (await readFile(full, 'utf8').catch(() => '')).trim();
    refs.push({ ref: relative(folder, full).replaceAll(sep, '/'), commit });
  }
  return refs;
}

/** The entries of a folder, by name; none if it does not exist. */
async function entriesOf(folder: string, recursive = false): Promise<Dirent[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true, recursive });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return [];
    throw fileError(error, 'read', folder);
  }
}
