import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { recoverDirectory } from '../files/atomic.node.ts';
import { errorCode } from '../files/file-errors.ts';
import { NotCachedError, type PullOptions, pullWith } from './pull.node.ts';
import { RequestError } from './retry.ts';
import { repositoryNamed } from './settings.node.ts';

/**
 * The path of a model given by its path or by its id on the hub. A file or folder of that name takes precedence;
 * otherwise an id (`org/name`, `gpt2`, `org/name@revision`, `org/name:file.gguf`) or an address of the hub is looked
 * up in the cache, and downloaded if it is not there (see `pullModel`).
 * @returns a path
 * @throws RopewalkError naming what was tried
 */
export async function resolveModel(idOrPath: string, options: PullOptions = {}): Promise<string> {
  if (await isThere(idOrPath)) return idOrPath;
  // A folder whose replacement was interrupted has another name until it is recovered.
  await recoverDirectory(idOrPath);
  if (await isThere(idOrPath)) return idOrPath;
  const shown = JSON.stringify(idOrPath);
  const model = repositoryNamed(idOrPath, 'models', options);
  if (!model) {
    throw new RopewalkError(
      `${shown}: no such file or folder (${resolve(idOrPath)}), and not the id of a model on the hub, ` +
        'which looks like google/gemma-2-2b-it; check the path',
    );
  }
  try {
    return await pullWith(model, options);
  } catch (error) {
    if (!isAbsent(error)) throw error;
    throw new RopewalkError(
      `${shown}: no such file or folder here; as a model on the hub: ${error.message}`,
      {
        cause: error,
      },
    );
  }
}

/** Whether an error means that the hub has no such repository, or cannot be reached. */
export function isAbsent(error: unknown): error is RopewalkError {
  if (error instanceof NotCachedError) return true;
  return (
    error instanceof RequestError && (error.kind === 'unreachable' || [401, 404].includes(error.status ?? 0))
  );
}

/** False only if nothing has this name; other problems are reported when it is opened. */
async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    return !['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '');
  }
}
