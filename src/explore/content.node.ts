import { ablationAt, type FoundAblation } from './ablations.node.ts';
import { type FoundModel, findModels, withOwnIds } from './models.node.ts';

/** The content of a site. */
export interface SiteContent {
  readonly models: readonly FoundModel[];
  readonly ablations: readonly FoundAblation[];
}

/**
 * The models and ablations at the given paths; see {@link findModels}.
 *
 * @throws RopewalkError for a path with neither.
 */
export async function findContent(paths: readonly string[]): Promise<SiteContent> {
  const ablations: FoundAblation[] = [];
  const others: string[] = [];
  for (const path of paths) {
    const ablation = await ablationAt(path);
    if (ablation) ablations.push(ablation);
    else others.push(path);
  }
  return { models: await findModels(others), ablations: withOwnIds(ablations) };
}
