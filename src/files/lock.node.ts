import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileError } from './file-errors.ts';
import { isAlive, type Lock, lookAtLock, removeLock, takeLock } from './lock-file.node.ts';
import { sleep } from './sleep.ts';

/*
 * Allows one download of a blob at a time. Python locks `<etag>.lock` with flock(2), which Node lacks; that file
 * stays behind, so its existence means nothing. Our lock file next to it exists only while the lock is held: its
 * owner refreshes its time, and a file that is not refreshed, or whose process is gone, is taken over. As in Python,
 * the lock only avoids a second download; integrity does not depend on it, because every process writes its own
 * partial file and renames it once its hash is verified.
 */

/** A lock that has not been refreshed for this long, by our clock, counts as abandoned. */
const ABANDONED_MS = 30_000;
const POLL_MS = 150;

/**
 * Waits for the lock, or until there is nothing left to do.
 * @param isDone called now and then while another process holds the lock
 * @returns undefined if `isDone` returned true first
 * @throws the signal's reason; RopewalkError if the file cannot be written
 */
export async function acquireLock(
  path: string,
  {
    isDone,
    signal,
    abandonedMs = ABANDONED_MS,
  }: {
    isDone: () => Promise<boolean>;
    signal?: AbortSignal | undefined;
    abandonedMs?: number;
  },
): Promise<Lock | undefined> {
  let seen = { text: '', time: Number.NaN, since: 0 };
  try {
    await mkdir(dirname(path), { recursive: true });
    for (;;) {
      signal?.throwIfAborted();
      const lock = await takeLock(path);
      if (lock) return lock;
      if (await isDone()) return undefined;
      const now = await lookAtLock(path);
      if (!now) continue;
      if (now.text !== seen.text || now.time !== seen.time) seen = { ...now, since: performance.now() };
      if (isAlive(now.text) === false || performance.now() - seen.since > abandonedMs)
        await removeLock(path, now.text);
      else await sleep(POLL_MS, signal);
    }
  } catch (error) {
    throw fileError(error, 'lock', path);
  }
}
