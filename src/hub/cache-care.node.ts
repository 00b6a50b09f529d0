import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { fileError } from '../files/file-errors.ts';
import { isAlive } from '../files/lock-file.node.ts';
import type { CachedBlob, CachedRepository } from './cache-contents.node.ts';

/** Something in a cache that differs from the download. */
export interface CacheProblem {
  readonly id: string;
  readonly path: string;
  readonly problem: 'damaged' | 'missing';
}

export interface Verified {
  readonly files: number;
  readonly bytes: number;
  readonly problems: readonly CacheProblem[];
  /** Files whose names are not hashes of their contents. */
  readonly unchecked: number;
}

/**
 * Compares files with the hashes that name them: SHA-256 of large files, git's SHA-1 of small ones.
 *
 * @param onProgress called with the bytes read so far, and the total.
 */
export async function verifyCache(
  repositories: readonly CachedRepository[],
  options: {
    readonly signal?: AbortSignal;
    readonly onProgress?: (bytes: number, total: number) => void;
  } = {},
): Promise<Verified> {
  const total = repositories.flatMap(({ blobs }) => blobs).reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  let files = 0;
  let unchecked = 0;
  const problems: CacheProblem[] = [];
  for (const { id, blobs, revisions } of repositories) {
    for (const blob of blobs) {
      files++;
      const hash = hashFor(blob);
      if (!hash) {
        unchecked++;
        done += blob.bytes;
        continue;
      }
      try {
        for await (const piece of createReadStream(blob.path, { signal: options.signal })) {
          hash.update(piece as Buffer);
          done += (piece as Buffer).length;
          options.onProgress?.(done, total);
        }
      } catch (error) {
        options.signal?.throwIfAborted();
        throw fileError(error, 'read', blob.path);
      }
      if (hash.digest('hex') !== blob.hash) problems.push({ id, path: blob.path, problem: 'damaged' });
    }
    for (const { folder, files: links } of revisions) {
      for (const { path, isThere } of links)
        if (!isThere) problems.push({ id, path: join(folder, path), problem: 'missing' });
    }
  }
  return { files, bytes: total, problems, unchecked };
}

function hashFor({ hash, bytes }: CachedBlob) {
  if (/^[0-9a-f]{64}$/.test(hash)) return createHash('sha256');
  // The id of a git object is a hash of its kind, size and contents.
  return /^[0-9a-f]{40}$/.test(hash) ? createHash('sha1').update(`blob ${bytes}\0`) : undefined;
}

/** Something that was or would be removed, and why. */
export interface Removal {
  readonly id: string;
  readonly path: string;
  readonly bytes: number;
  readonly reason: 'interrupted download' | 'superseded revision' | 'unused file' | 'asked for';
}

/** Downloads without a write for this long are considered abandoned. */
const GIVEN_UP_MS = 24 * 3600 * 1000;

/**
 * What can be removed without loss: interrupted downloads older than a day, revisions without a branch or tag if
 * another revision has one, and files that no remaining revision has.
 *
 * @param now milliseconds since 1970.
 */
export function superfluous(repository: CachedRepository, now = Date.now()): Removal[] {
  const { id, blobs, partial, revisions } = repository;
  const named = revisions.filter(({ refs }) => refs.length > 0);
  const gone = named.length > 0 ? revisions.filter(({ refs }) => refs.length === 0) : [];
  const kept = new Set(
    revisions
      .filter((revision) => !gone.includes(revision))
      .flatMap(({ files }) => files.map(({ hash }) => hash)),
  );
  // A snapshot of copies names no blobs, so it is unknown which of them it has.
  const isKnown = revisions.every(({ files }) => files.every(({ hash }) => hash !== undefined));
  const old = partial.filter(({ used }) => now - used > GIVEN_UP_MS);
  return [
    ...old.map(({ path, bytes }) => ({ id, path, bytes, reason: 'interrupted download' as const })),
    ...gone.map(({ folder }) => ({ id, path: folder, bytes: 0, reason: 'superseded revision' as const })),
    ...(isKnown && revisions.length > 0
      ? blobs
          .filter(({ hash }) => !kept.has(hash))
          .map(({ path, bytes }) => ({ id, path, bytes, reason: 'unused file' as const }))
      : []),
  ];
}

/** The removal of a whole model or dataset. */
export function wholly({ id, folder, bytes }: CachedRepository): Removal {
  return { id, path: folder, bytes, reason: 'asked for' };
}

/**
 * Removes the files of a list.
 *
 * @throws RopewalkError if a process is downloading into the model, or a file cannot be removed.
 */
export async function removeFrom(repository: CachedRepository, removals: readonly Removal[]): Promise<void> {
  await checkIdle(repository);
  for (const { path } of removals) {
    try {
      await rm(path, { recursive: true, force: true });
    } catch (error) {
      throw fileError(error, 'remove', path);
    }
  }
}

/** @throws RopewalkError while another Ropewalk process downloads its files. */
async function checkIdle({ id, folder }: CachedRepository): Promise<void> {
  const locks = join(dirname(folder), '.locks', folder.slice(dirname(folder).length + 1));
  for (const name of await readdir(locks).catch(() => [])) {
    const text = await readFile(join(locks, name), 'utf8').catch(() => '');
    if (text !== '' && isAlive(text)) {
      throw new RopewalkError(
        `${id}: another process is downloading files of it; try again when it has finished.`,
      );
    }
  }
}
