import { randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { errorCode } from './file-errors.ts';
import { beginning, isProcessRunning } from './processes.node.ts';

/*
 * File locks: the file exists only while the lock is held. Creating a file that must not exist yet is one atomic
 * step, even on network file systems. The file names its owner, who refreshes its modification time; the lock of an
 * owner that is gone is taken over.
 */

const HEARTBEAT_MS = 2000;

export interface Lock {
  release(): Promise<void>;
}

/** The contents of a lock file, and when it was refreshed (milliseconds). */
export interface SeenLock {
  readonly text: string;
  readonly time: number;
}

/** The owner that a lock names. */
export interface LockOwner {
  readonly host: string;
  readonly pid: number;
  /** The namespace of the process id: containers with the same host name have their own. */
  readonly space?: string | undefined;
  /** An opaque start time of the process, because process ids are reused. */
  readonly began?: string | undefined;
}

/** Takes a lock. @returns undefined if someone else holds it. */
export async function takeLock(path: string): Promise<Lock | undefined> {
  const key = randomBytes(8).toString('hex');
  const owner = JSON.stringify({
    ...{ host: hostname(), space: pidSpace(), pid: process.pid, began: beginning(process.pid), key },
  });
  let file: FileHandle;
  try {
    file = await open(path, 'wx', 0o664);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return undefined;
    throw error;
  }
  try {
    await file.writeFile(owner);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  const beat = setInterval(() => {
    const now = new Date();
    void utimes(path, now, now).catch(() => {}); // Taken over while this process slept.
  }, HEARTBEAT_MS);
  beat.unref();
  return {
    async release() {
      clearInterval(beat);
      if ((await lookAtLock(path))?.text === owner) await rm(path, { force: true }).catch(() => {});
    },
  };
}

/** The contents of a lock and when it was refreshed; undefined if it is gone. */
export async function lookAtLock(path: string): Promise<SeenLock | undefined> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)]);
    return { text, time: mtimeMs };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The owner that a lock names; undefined while it is being written. */
export function ownerOf(text: string): LockOwner | undefined {
  try {
    const { host, space, pid, began } = JSON.parse(text) as Record<string, unknown>;
    const textOf = (value: unknown) => (typeof value === 'string' ? value : undefined);
    if (typeof host !== 'string' || typeof pid !== 'number') return undefined;
    return { host, pid, space: textOf(space), began: textOf(began) };
  } catch {
    return undefined;
  }
}

/**
 * Whether a lock's owner is running; undefined if that cannot be known, because it is on another machine or its
 * process id may have been reused.
 */
export function isAlive(text: string): boolean | undefined {
  const owner = ownerOf(text);
  if (owner?.host !== hostname()) return undefined;
  if (owner.space !== undefined && owner.space !== pidSpace()) return undefined;
  if (!isProcessRunning(owner.pid)) return false;
  const began = beginning(owner.pid);
  return owner.began === undefined || began === undefined ? undefined : began === owner.began;
}

/** Removes an abandoned lock. If someone took it in the meantime, it is put back. */
export async function removeLock(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  if ((await lookAtLock(aside))?.text === text) await rm(aside, { force: true });
  else await rename(aside, path);
}

/** The pid namespace of this process; undefined without /proc. */
function pidSpace(): string | undefined {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return undefined;
  }
}
