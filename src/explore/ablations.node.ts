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

/** More than any ablation has. */
const MAX_BYTES = 64 * 2 ** 20;

/**
 * The ablation at a path: a folder of `ropewalk ablate`, or its JSON file. Undefined where there is none.
 *
 * @throws RopewalkError for one that is not finished, and for a JSON file that is none.
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
      `${path}: its ablation is not finished; give the same "ropewalk ablate" again, which resumes it.`,
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
