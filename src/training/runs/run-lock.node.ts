import { mkdir, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { RopewalkError } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';
import { removeEmpty } from '../../files/folders.node.ts';
import { isAlive, type Lock, lookAtLock, ownerOf, removeLock, takeLock } from '../../files/lock-file.node.ts';

/** A lock that has not been refreshed for this long counts as abandoned, if its owner cannot be checked. */
const ABANDONED_MS = 600_000;
const LOCK_FILE = 'run.lock';

/**
 * Ensures that no other process works on a run in a folder until the lock is released. Creates the folder if
 * necessary, and removes it on release if it is empty.
 *
 * @throws RopewalkError naming the process that holds the lock, while it runs.
 */
export async function lockRun(folder: string): Promise<Lock> {
  let made: string | undefined;
  try {
    made = await mkdir(folder, { recursive: true });
  } catch (error) {
    throw fileError(error, 'write', folder);
  }
  const lock = await lockFile(join(folder, LOCK_FILE), folder).catch(async (error: unknown) => {
    await removeEmpty(folder, made);
    throw error;
  });
  return {
    async release() {
      await lock.release();
      await removeEmpty(folder, made);
    },
  };
}

/** @throws RopewalkError if another process works in the folder; the lock of a killed process is ignored. */
export async function checkUnlocked(folder: string): Promise<void> {
  const path = join(folder, LOCK_FILE);
  const seen = await lookAtLock(path).catch((error: unknown) => {
    throw fileError(error, 'read', path);
  });
  if (seen && !isAbandoned(seen)) throw isTaken(path, folder, seen.text);
}

/**
 * Locks a file or folder.
 *
 * @param what is locked, for messages.
 */
export async function lockFile(path: string, what: string): Promise<Lock> {
  try {
    for (;;) {
      const lock = await takeLock(path);
      if (lock) {
        await removeAsides(path);
        return lock;
      }
      const seen = await lookAtLock(path);
      if (!seen) continue;
      if (!isAbandoned(seen)) throw isTaken(path, what, seen.text);
      await removeLock(path, seen.text);
    }
  } catch (error) {
    throw fileError(error, 'lock', path);
  }
}

/** Removes leftovers of a process that was killed while it took over a lock. */
async function removeAsides(path: string): Promise<void> {
  const [folder, name] = [dirname(path), basename(path)];
  for (const entry of await readdir(folder)) {
    if (entry.startsWith(`${name}.`) && /\.[0-9a-f]{8}$/.test(entry))
      await rm(join(folder, entry), { force: true });
  }
}

function isAbandoned({ text, time }: { readonly text: string; readonly time: number }): boolean {
  const alive = isAlive(text);
  return alive === undefined ? Date.now() - time > ABANDONED_MS : !alive;
}

function isTaken(path: string, what: string, text: string): RopewalkError {
  const owner = ownerOf(text);
  const process = owner ? `process ${owner.pid} on ${owner.host}` : 'another process';
  return new RopewalkError(
    `${what}: ${process} is using it; wait until it ends, or choose another path. If it is gone, remove ${path}.`,
  );
}
