import { randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { errorCode } from './file-errors.ts';

/*
 * Locks that are files: there only while they are held. Creating a file that must not exist yet is one step, on network
 * file systems too. The file names its owner, who refreshes its time; one whose owner is gone is taken over.
 */

const HEARTBEAT_MS = 2000;

export interface Lock {
  release(): Promise<void>;
}

/** What a lock's file says, and when it was refreshed (milliseconds). */
export interface SeenLock {
  readonly text: string;
  readonly time: number;
}

/** What is known of a lock's owner. */
export interface LockOwner {
  readonly host: string;
  readonly pid: number;
  /** The space in which process ids count: containers of one host name have their own. */
  readonly space?: string | undefined;
  /** When the process began, in a form that only tells it from others: process ids are used again. */
  readonly began?: string | undefined;
}

/** Takes a lock. @returns undefined where somebody has it. */
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
    void utimes(path, now, now).catch(() => {}); // taken over while this process slept
  }, HEARTBEAT_MS);
  beat.unref();
  return {
    async release() {
      clearInterval(beat);
      if ((await lookAtLock(path))?.text === owner) await rm(path, { force: true }).catch(() => {});
    },
  };
}

/** What a lock says and when it was refreshed; undefined where it is gone. */
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
 * Whether a lock's owner runs: undefined where that cannot be known, since it is on another machine, or its process id may
 * be another process's by now.
 */
export function isAlive(text: string): boolean | undefined {
  const owner = ownerOf(text);
  if (owner?.host !== hostname()) return undefined;
  if (owner.space !== undefined && owner.space !== pidSpace()) return undefined;
  try {
    process.kill(owner.pid, 0); // signal 0 only asks whether the process exists
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return false;
    // Another user's process exists as well.
  }
  const began = beginning(owner.pid);
  return owner.began === undefined || began === undefined ? undefined : began === owner.began;
}

/** Removes an abandoned lock. One that somebody took in the meantime is put back. */
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

/** The space of process ids of this process; undefined where there is no /proc. */
function pidSpace(): string | undefined {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return undefined;
  }
}

/** When a process began, in ticks since the machine did (proc(5), stat, field 22); undefined where there is no /proc. */
function beginning(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name before it stands in parentheses, and may hold some.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
