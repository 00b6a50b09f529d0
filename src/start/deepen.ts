import type { CommonConfig } from '../families/config.ts';
import type { Family } from '../families/family.ts';

/** The same configuration with more or fewer layers; the pattern of its layers is repeated. */
export function withDepth<C extends CommonConfig>(
  family: Pick<Family<C>, 'parts' | 'withLayers'>,
  config: C,
  layers: number,
): C {
  const count = family.parts(config).layers.length;
  return family.withLayers(
    config,
    Array.from({ length: layers }, (_, index) => index % count),
  );
}
