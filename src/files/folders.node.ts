import { rmdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * Removes folders that were made, from the inner one to the outermost, as far as they are empty.
 *
 * @param made the outermost, as `mkdir` says it; undefined where none was made.
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
