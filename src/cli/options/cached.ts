import { type KeptLayout, listLayouts } from '../../checkpoint/layouts/contents.node.ts';
import { layoutCacheSettings } from '../../checkpoint/layouts/settings.node.ts';
import { RopewalkError } from '../../errors.ts';
import { type CachedRepository, listCache } from '../../hub/cache-contents.node.ts';
import { hubSettings } from '../../hub/settings.node.ts';

/** What is in the two caches, or a selection of it. */
export interface Cached {
  readonly folder: string;
  readonly repositories: readonly CachedRepository[];
  /** Undefined if layouts are off, or if only others were selected. */
  readonly layouts: { readonly folder: string; readonly files: readonly KeptLayout[] } | undefined;
}

/**
 * What ids name in the caches; everything if there are none.
 *
 * @throws RopewalkError for one that is in neither.
 */
export async function cached(ids: readonly string[] = []): Promise<Cached> {
  const folder = hubSettings({ offline: true }).cache;
  const kept = (await layoutCacheSettings())?.folder;
  const layouts = kept === undefined ? undefined : { folder: kept, files: await listLayouts(kept) };
  const repositories = await listCache(folder);
  if (ids.length === 0) return { folder, repositories, layouts };
  const chosen = new Set<CachedRepository | KeptLayout>();
  for (const name of ids) {
    const found = [
      ...repositories.filter(({ id, kind }) => name === id || name === `${kind}/${id}`),
      ...(layouts?.files ?? []).filter(({ id }) => name === id || name === 'layouts'),
    ];
    if (found.length === 0 && name !== 'layouts')
      throw new RopewalkError(`${name} is not in the cache ${folder}; "ropewalk cache list" shows what is.`);
    for (const each of found) chosen.add(each);
  }
  const files = layouts?.files.filter((each) => chosen.has(each)) ?? [];
  return {
    folder,
    repositories: repositories.filter((each) => chosen.has(each)),
    layouts: layouts && (files.length > 0 || ids.includes('layouts')) ? { ...layouts, files } : undefined,
  };
}
