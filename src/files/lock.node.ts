import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { errorCode, fileError } from './file-errors.ts';
import { sleep } from './sleep.ts';

/*
 * One download of a blob at a time. Python locks `<etag>.lock` with flock(2), which Node has not; its file stays behind,
 * so that its being there says nothing. Ours, beside it, is there only while it is held: its owner refreshes its time,
 * and a file that is not refreshed, or whose process is gone, is taken over. As in Python the lock only spares a second
 * download. That nothing is corrupted does not rest on it: every process writes a partial file of its own, and
 * renames it once its hash is right.
 */

const HEARTBEAT_MS = 2000;
/** A lock that has not been refreshed for so long, by our clock, has no owner any more. */
const ABANDONED_MS = 30_000;
const POLL_MS = 150;

export interface Lock {
  release(): Promise<void>;
}

/**
 * Waits for the lock, or until there is nothing left to do.
 * @param isDone asked now and then while another process holds the lock
 * @returns undefined where `isDone` said yes first
 * @throws the signal's reason; RopewalkError where the file cannot be written
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
  const owner = JSON.stringify({ host: hostname(), pid: process.pid, key: randomBytes(8).toString('hex') });
  let seen = { text: '', time: Number.NaN, since: 0 };
  try {
    await mkdir(dirname(path), { recursive: true });
    for (;;) {
      signal?.throwIfAborted();
      if (await create(path, owner)) return held(path, owner);
      if (await isDone()) return undefined;
      const now = await look(path);
      if (!now) continue;
      if (now.text !== seen.text || now.time !== seen.time) seen = { ...now, since: performance.now() };
      if (isDead(now.text) || performance.now() - seen.since > abandonedMs) await takeAway(path, now.text);
      else await sleep(POLL_MS, signal);
    }
  } catch (error) {
    throw fileError(error, 'lock', path);
  }
}

async function create(path: string, owner: string): Promise<boolean> {
  let file: FileHandle;
  try {
    file = await open(path, 'wx', 0o664);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
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
  return true;
}

function held(path: string, owner: string): Lock {
  const beat = setInterval(() => {
    const now = new Date();
    void utimes(path, now, now).catch(() => {}); // taken over while we slept: see above
  }, HEARTBEAT_MS);
  beat.unref();
  return {
    async release() {
      clearInterval(beat);
      if ((await look(path))?.text === owner) await rm(path, { force: true }).catch(() => {});
    },
  };
}

/** What a lock says and when it was refreshed; undefined where it is gone. */
async function look(path: string): Promise<{ text: string; time: number } | undefined> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)]);
    return { text, time: mtimeMs };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether the owner was a process of this machine that is gone. */
function isDead(text: string): boolean {
  try {
    const { host, pid } = JSON.parse(text) as { host?: unknown; pid?: unknown };
    if (host !== hostname() || typeof pid !== 'number') return false;
    process.kill(pid, 0); // signal 0 only asks whether the process exists
    return false;
  } catch (error) {
    return errorCode(error) === 'ESRCH'; // else: it is being written, or belongs to another user
  }
}

/** Removes an abandoned lock. One that somebody took in the meantime is put back. */
async function takeAway(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  if ((await look(aside))?.text === text) await rm(aside, { force: true });
  else await rename(aside, path);
}
