import { RopewalkError } from '../errors.ts';

const CAUSES: Readonly<Record<string, readonly [cause: string, remedy: string]>> = {
  ENOENT: ['no such file or folder', 'check the path'],
  ENOTDIR: ['part of the path is a file, not a folder', 'check the path'],
  EISDIR: ['it is a folder', 'name a file'],
  EEXIST: ['something with that name already exists', 'choose another name'],
  ENOTEMPTY: ['the folder is not empty', 'another process may be writing it; try again'],
  EACCES: ['permission denied', 'choose a location that you may write to, or change its permissions'],
  EPERM: ['operation not permitted', 'choose a location that you may write to, or change its permissions'],
  EROFS: ['the file system is read-only', 'choose another location'],
  ENOSPC: ['the disk is full', 'free some space or choose another disk'],
  EDQUOT: ['the disk quota is used up', 'free some space or choose another disk'],
  EFBIG: ['the file is too large for this file system', 'write smaller shards or choose another disk'],
  EMFILE: ['too many files are open', 'raise the limit (ulimit -n)'],
  ENAMETOOLONG: ['the name is too long', 'choose a shorter one'],
  ELOOP: ['its symbolic links form a loop', 'check the path'],
  EBUSY: ['it is in use', 'close the program that uses it, or choose another location'],
  EXDEV: ['it would have to move to another disk', 'choose a folder that is not a mount point'],
  EIO: ['the disk reported an error', 'check the disk'],
};

/** The operating system's code of an error ('ENOSPC'), or undefined if it has none. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * The readable error for a failed file operation: `cannot <action> <path>: <cause>; <remedy>`. Errors that are
 * already readable, and those that did not come from the operating system (our bugs), are returned unchanged.
 */
export function fileError(error: unknown, action: string, path: string): unknown {
  const code = errorCode(error);
  if (error instanceof RopewalkError || code === undefined) return error;
  const known = CAUSES[code];
  const text = known ? `${known[0]} (${code}); ${known[1]}` : `${(error as Error).message} (${code})`;
  return new RopewalkError(`cannot ${action} ${path}: ${text}`, { cause: error });
}
