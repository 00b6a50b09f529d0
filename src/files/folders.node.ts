import { rmdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

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
