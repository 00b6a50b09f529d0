import { randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import {
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
} from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { fileSink } from './file.node.ts';
import { errorCode, fileError } from './file-errors.ts';
import { isProcessRunning } from './processes.node.ts';
import type { ByteSink } from './source.ts';

/*
 * Replaces files and folders atomically: whatever happens (an error, a full disk, a kill at any moment), the target
 * is either the old version or the new one. The new version is written next to the target under a name that
 * identifies its writer, synced to disk, and only then renamed. A folder cannot be renamed over another one, so it
 * takes three renames:
 *
 *   .NAME.partial-…  ->  .NAME.new     the new folder is complete from here on
 *   NAME             ->  .NAME.old
 *   .NAME.new        ->  NAME
 *
 * `settle` completes them from wherever they stopped. Anything to be removed is first renamed to a partial, so a
 * half-removed folder is never mistaken for a complete one.
 */

/** Called with the name of each step before it happens: tests stop the process there. */
export interface AtomicOptions {
  readonly onStep?: (step: string) => void;
}

export interface AtomicFileOptions extends AtomicOptions {
  /**
   * False for a file whose readers notice damage: it is not synced to disk, so that writing takes the time of memory,
   * and a crash of the system may leave it damaged. Default true.
   */
  readonly durable?: boolean;
}

const DAY = 24 * 3600 * 1000;
const HOST = hostname().replace(/[^A-Za-z0-9]/g, '_');

/**
 * Writes a file that appears complete or not at all; an existing one is replaced, keeping its permissions.
 * @param content the bytes, the text, or a function that writes them piece by piece
 * @throws RopewalkError naming the path, the cause and the remedy; the old file is then unchanged
 */
export async function writeFileAtomic(
  path: string,
  content: Uint8Array | string | ((sink: ByteSink) => Promise<void>),
  { onStep = () => {}, durable = true }: AtomicFileOptions = {},
): Promise<void> {
  let temporary: string | undefined;
  let handle: FileHandle | undefined;
  try {
    const target = await resolveTarget(path);
    const old = await statusOf(target);
    if (old && !old.isFile()) {
      throw new RopewalkError(
        `cannot write ${path}: ${old.isDirectory() ? 'it is a folder' : 'it is not a regular file'}; name a file`,
      );
    }
    await removeLeftovers(target);
    temporary = partialName(target);
    onStep('create');
    handle = await open(temporary, 'wx', old ? old.mode & 0o777 : 0o666);
    // The process's umask may have removed some of the old file's permissions.
    if (old && (await handle.stat()).mode !== old.mode) await handle.chmod(old.mode & 0o777);
    onStep('write');
    const sink = fileSink(handle);
    if (typeof content === 'function') await content(sink);
    else await sink.write(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    onStep('sync');
    if (durable) await handle.sync();
    await handle.close();
    handle = undefined;
    onStep('rename');
    await rename(temporary, target);
    temporary = undefined;
    onStep('sync folder');
    if (durable) await syncDirectory(dirname(target));
  } catch (error) {
    await handle?.close().catch(() => {});
    if (temporary) await rm(temporary, { force: true }).catch(() => {});
    throw fileError(error, 'write', path);
  }
}

/**
 * Writes a folder that appears complete or not at all. Missing parents are created. An existing folder is
 * **replaced** with all its contents: callers first check that the user wants this.
 * @param fill writes the files into the given folder
 * @throws RopewalkError naming the path, the cause and the remedy; the old folder is then unchanged
 */
export async function writeDirectoryAtomic(
  path: string,
  fill: (directory: string) => Promise<void>,
  { onStep = () => {} }: AtomicOptions = {},
): Promise<void> {
  let temporary: string | undefined;
  let undo = async () => {};
  try {
    await recoverDirectory(path);
    const target = await resolveTarget(path);
    const old = await statusOf(target);
    if (old && !old.isDirectory()) {
      throw new RopewalkError(`cannot write ${path}: it is a file, not a folder; name another folder`);
    }
    await mkdir(dirname(target), { recursive: true });
    await removeLeftovers(target);
    temporary = partialName(target);
    onStep('create');
    await mkdir(temporary);
    onStep('fill');
    await fill(temporary);
    onStep('sync');
    await syncTree(temporary);
    onStep('commit');
    const fresh = besideName(target, 'new');
    await rename(temporary, fresh);
    temporary = undefined;
    undo = async () => {
      // The target cannot be renamed (a mount point, for example): the old one stays, and no cleanup remains.
      await renameIfThere(besideName(target, 'old'), target);
      await discard(fresh, target, () => {});
    };
    await syncDirectory(dirname(target));
    await settle(target, onStep);
  } catch (error) {
    if (temporary) await rm(temporary, { recursive: true, force: true }).catch(() => {});
    await undo().catch(() => {});
    const readable = fileError(error, 'write', path);
    if (readable instanceof RopewalkError && temporary && readable.message.includes(temporary)) {
      // A file in the folder could not be written: users know the final folder's name, not the temporary one.
      throw new RopewalkError(readable.message.replaceAll(temporary, path), { cause: error });
    }
    throw readable;
  }
}

/**
 * Completes an interrupted replacement of a folder, if any, and removes leftovers of dead writers. Call before
 * reading the folder; afterwards `path` is the newest complete version, or absent if there never was one. Safe at any
 * time, even while another process writes the folder.
 */
export async function recoverDirectory(
  path: string,
  { onStep = () => {} }: AtomicOptions = {},
): Promise<void> {
  try {
    const target = await resolveTarget(path);
    try {
      await settle(target, onStep);
      await removeLeftovers(target);
    } catch (error) {
      // Without write permission, an existing target is complete: leftovers next to it do no harm.
      const forbidden = ['EACCES', 'EPERM', 'EROFS'].includes(errorCode(error) ?? '');
      if (!forbidden || !(await statusOf(target))) throw error;
    }
  } catch (error) {
    throw fileError(error, 'recover', path);
  }
}

/**
 * Removes a folder with all its contents; at every moment it is either complete or gone. A missing folder is not an
 * error.
 * @throws RopewalkError naming the path, the cause and the remedy
 */
export async function removeDirectory(
  path: string,
  { onStep = () => {} }: AtomicOptions = {},
): Promise<void> {
  try {
    const target = await resolveTarget(path);
    onStep('discard');
    await discard(target, target, onStep);
  } catch (error) {
    throw fileError(error, 'remove', path);
  }
}

/** Resolves the names NAME, .NAME.new and .NAME.old; every step tolerates that another process did it. */
async function settle(target: string, onStep: (step: string) => void): Promise<void> {
  const fresh = besideName(target, 'new');
  const old = besideName(target, 'old');
  for (let round = 0; round < 20; round++) {
    const has = { target: await statusOf(target), fresh: await statusOf(fresh), old: await statusOf(old) };
    if (has.fresh && !has.target) {
      onStep('rename new into place');
      await renameIfThere(fresh, target);
    } else if (has.old && !has.target) {
      onStep('put old back');
      await renameIfThere(old, target);
    } else if (has.old) {
      onStep('discard old');
      await discard(old, target, onStep);
    } else if (has.fresh) {
      onStep('rename old away');
      await renameIfThere(target, old);
    } else {
      return;
    }
    await syncDirectory(dirname(target));
  }
  throw new RopewalkError(
    `cannot write ${target}: other processes keep replacing it; let only one process write it`,
  );
}

/** Renames unless another process has already done so. */
async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    const code = errorCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

async function discard(path: string, target: string, onStep: (step: string) => void): Promise<void> {
  const doomed = partialName(target);
  await renameIfThere(path, doomed);
  onStep('remove old');
  await rm(doomed, { recursive: true, force: true });
}

function besideName(target: string, suffix: string): string {
  return join(dirname(target), `.${basename(target)}.${suffix}`);
}

/** A name beside a target for what is not yet complete: it identifies the writer and the time. */
export function partialName(target: string): string {
  const owner = `${HOST}-${process.pid}-${Date.now()}`;
  return besideName(target, `partial-${owner}-${randomBytes(4).toString('hex')}`);
}

/** Removes the partials of `target` whose writers are gone. */
async function removeLeftovers(target: string): Promise<void> {
  const prefix = `.${basename(target)}.partial-`;
  for (const path of await abandonedPartials(dirname(target))) {
    if (basename(path).startsWith(prefix)) await rm(path, { recursive: true, force: true });
  }
}

/** What interrupted writers left behind in a folder; empty if there is no such folder. */
export async function abandonedPartials(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
  const abandoned = names.filter((name) => {
    const owner = /^\..+\.partial-([A-Za-z0-9_]*)-(\d+)-(\d+)-[0-9a-f]{8}$/.exec(name);
    return owner && isAbandoned(owner[1]!, Number(owner[2]), Number(owner[3]));
  });
  return abandoned.map((name) => join(folder, name));
}

/** Whether the writer of a partial is gone. Processes on other machines cannot be checked: those are given a day. */
function isAbandoned(host: string, pid: number, since: number): boolean {
  if (pid === process.pid && host === HOST) return since < Date.now() - process.uptime() * 1000 - 1000;
  if (Date.now() - since > DAY) return true;
  return host === HOST && !isProcessRunning(pid);
}

/** The path that a rename must replace: the target of symbolic links, even if it does not exist yet. */
async function resolveTarget(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  const absolute = resolve(path);
  const status = await statusOf(absolute);
  if (status?.isSymbolicLink()) return resolve(dirname(absolute), await readlink(absolute));
  return absolute;
}

async function statusOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Syncs every file and folder below `directory` to disk. */
async function syncTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      await syncTree(path);
    } else if (entry.isFile()) {
      // Windows only syncs files open for writing; elsewhere a file may be read-only.
      const handle = await open(path, process.platform === 'win32' ? 'r+' : 'r');
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    }
  }
  await syncDirectory(directory);
}

/** Syncs a folder's entries to disk, where the system supports it (Windows does not open folders). */
async function syncDirectory(path: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    await handle.sync();
  } catch (error) {
    const code = errorCode(error) ?? '';
    if (!['EPERM', 'EACCES', 'EISDIR', 'EINVAL', 'ENOTSUP'].includes(code)) throw error;
  } finally {
    await handle?.close();
  }
}
