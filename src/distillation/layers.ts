import { RopewalkError } from '../errors.ts';
import type { CommonConfig } from '../families/config.ts';
import type { CausalLM, Family } from '../families/family.ts';
import { ModuleList } from '../nn/module.ts';

/** The path prefixes of a model's layers, including the last dot, in order. */
export function layerPaths(model: CausalLM): string[] {
  const { length } = model.stages.layers;
  for (const [path, module] of model.walk()) {
    if (module instanceof ModuleList && module.items.length === length) {
      return module.items.map((_: unknown, i: number) => `${path}.${i}.`);
    }
  }
  throw new RopewalkError('this model has no list of layers to take some of.');
}

/** `wanted` of `count` layers, evenly spaced, including the first and the last. */
export function evenLayers(count: number, wanted: number): number[] {
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > count) {
    throw new RopewalkError(
      `${wanted} layers cannot be taken of a model with ${count}; choose 1 to ${count}.`,
    );
  }
  if (wanted === 1) return [0];
  return Array.from({ length: wanted }, (_, i) => Math.round((i * (count - 1)) / (wanted - 1)));
}

/**
 * A model's config with only some of its layers. Per-layer settings follow their layers, so that a local layer stays
 * local in its new place.
 *
 * @param path the model, for messages.
 * @throws RopewalkError naming a layer that does not exist.
 */
export function withLayers<C extends CommonConfig>(
  family: Pick<Family<C>, 'parts' | 'withLayers'>,
  config: C,
  layers: readonly number[],
  path: string,
): C {
  const count = family.parts(config).layers.length;
  const missing = layers.find((layer) => !Number.isInteger(layer) || layer < 0 || layer >= count);
  if (layers.length === 0) throw new RopewalkError('no layer is selected; select at least one.');
  if (missing !== undefined) {
    throw new RopewalkError(`${path}: there is no layer ${missing}; its layers are 0 to ${count - 1}.`);
  }
  return family.withLayers(config, layers);
}
