import { mkdir, rmdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { errorCode } from './file-errors.ts';

/**
 * Removes created folders, from the innermost to the outermost, as long as they are empty.
 *
 * @param made the outermost one, as returned by `mkdir`; undefined if none was created.
 */
export async function removeEmpty(folder: string, made: string | undefined): Promise<void> {
  if (made === undefined) return;
  for (let place = resolve(folder); ; place = dirname(place)) {
    const removed = await rmdir(place).then(
      () => true,
      () => false,
    );
    if (!removed || place === resolve(made)) return;
  }
}

/**
 * Makes a folder and those around it, each only for its owner. Unlike `mkdir` with `recursive`, it ends where the system
 * never makes folders, as in /proc.
 *
 * @throws the operating system's error.
 */
export async function makePrivateFolder(folder: string): Promise<void> {
  const make = () =>
    mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
      if (errorCode(error) !== 'EEXIST') throw error;
    });
  try {
    await make();
  } catch (error) {
    const around = dirname(resolve(folder));
    if (errorCode(error) !== 'ENOENT' || around === resolve(folder)) throw error;
    await makePrivateFolder(around);
    await make();
  }
}
