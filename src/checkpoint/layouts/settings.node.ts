import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { RopewalkError } from '../../errors.ts';

/** Where layouts are kept, and how many. */
export interface LayoutCacheOptions {
  /** The folder. By default `ropewalk/layouts` in the user's cache folder. */
  readonly folder?: string | undefined;
  /** The most bytes of all layouts; the least recently used ones make room for new ones. Default 20 GB. */
  readonly limitBytes?: number | undefined;
  /** Smaller models are not kept, because they load in an instant. Default 32 MB. */
  readonly minimumBytes?: number | undefined;
  /** Vocabularies of fewer tokens are not kept, because they load in an instant. Default 32,768. */
  readonly leastTokens?: number | undefined;
  /**
   * A model whose files changed in the last so many milliseconds is not kept yet: the clocks of file systems have
   * steps, so it could change again at the same time. Default 2000; 0 trusts the clock.
   */
  readonly settledMs?: number | undefined;
}

export interface LayoutCacheSettings {
  readonly folder: string;
  readonly limitBytes: number;
  readonly minimumBytes: number;
  readonly leastTokens: number;
  readonly settledMs: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

const FOLDER = 'ROPEWALK_LAYOUT_CACHE';
const LIMIT = 'ROPEWALK_LAYOUT_CACHE_SIZE';

/**
 * The given settings, and for the others those of the environment: ROPEWALK_LAYOUT_CACHE is a folder or `off`,
 * ROPEWALK_LAYOUT_CACHE_SIZE a size such as 5GB.
 *
 * @returns undefined if nothing is to be kept.
 * @throws RopewalkError for an invalid size.
 */
export async function layoutCacheSettings(
  options: LayoutCacheOptions = {},
  env: Environment = process.env,
): Promise<LayoutCacheSettings | undefined> {
  const named = env[FOLDER] || undefined;
  if (options.folder === undefined && named?.toLowerCase() === 'off') return undefined;
  const caches = env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return {
    folder: resolve(options.folder ?? named ?? join(caches, 'ropewalk', 'layouts')),
    limitBytes: options.limitBytes ?? (await limitIn(env)) ?? 20e9,
    minimumBytes: options.minimumBytes ?? 32e6,
    leastTokens: options.leastTokens ?? 2 ** 15,
    settledMs: options.settledMs ?? 2000,
  };
}

async function limitIn(env: Environment): Promise<number | undefined> {
  const text = env[LIMIT];
  if (!text) return undefined;
  // Loaded only here: reading sizes needs a library that takes longer to load than a small model.
  const { bytesOf } = await import('../../options.ts');
  const bytes = bytesOf(text);
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new RopewalkError(
    `${LIMIT} is ${JSON.stringify(text)}; give a size such as 500MB or 5GB, or unset it for 20GB.`,
  );
}
