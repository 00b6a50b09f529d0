import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ABLATION_FILE, RUNS_FILE } from '../ablate/ablate.node.ts';
import { readAblation } from '../ablate/result.ts';
import { RopewalkError } from '../errors.ts';
import { errorCode, fileError } from '../files/file-errors.ts';
import type { SiteAblation } from './site.ts';

/** An ablation of the site and its file. */
export interface FoundAblation extends SiteAblation {
  readonly path: string;
}

/** More than the size of any real ablation. */
const MAX_BYTES = 64 * 2 ** 20;

/**
 * The ablation at a path: a folder written by `ropewalk ablate`, or its JSON file. Undefined if there is none.
 *
 * @throws RopewalkError for an unfinished ablation, and for a JSON file that is not an ablation.
 */
export async function ablationAt(path: string): Promise<FoundAblation | undefined> {
  const status = await stat(path).catch((error: unknown) => {
    throw fileError(error, 'open', path);
  });
  if (status.isFile()) return path.endsWith('.json') ? listed(path) : undefined;
  const inside = join(path, ABLATION_FILE);
  if (await exists(inside)) return listed(inside);
  if (await exists(join(path, RUNS_FILE))) {
    throw new RopewalkError(
      `${path}: its ablation is not finished; run the same "ropewalk ablate" command again to resume it.`,
    );
  }
  return undefined;
}

async function listed(path: string): Promise<FoundAblation> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES) throw new RopewalkError(`${path} is too large for an ablation: ${size} bytes.`);
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw error instanceof RopewalkError ? error : fileError(error, 'read', path);
  }
  const { settings } = readAblation(text, path);
  const own = basename(path) === ABLATION_FILE ? basename(dirname(resolve(path))) : basename(path, '.json');
  const id = own.replace(/[^\w.-]+/g, '-').replace(/^\.+/, '') || 'ablation';
  return { id, name: `${settings.from} → ${settings.to} (${own})`, path };
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw fileError(error, 'open', path);
  }
}
