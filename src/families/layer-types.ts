import type { ConfigReader } from './config.ts';

/** Whether a layer is local (a sliding window) or global. */
export type LayerType = 'sliding_attention' | 'full_attention';

const isLayerType = (type: unknown): type is LayerType =>
  type === 'sliding_attention' || type === 'full_attention';

/** The types of layers that a rule gives. */
export function layerTypes(layers: number, rule: (index: number) => LayerType): LayerType[] {
  return Array.from({ length: layers }, (_, index) => rule(index));
}

/**
 * `layer_types` of a config.json.
 *
 * @param fallback the type of each layer in files without the field.
 * @throws RopewalkError for a list of another length, or with other words.
 */
export function readLayerTypes(
  reader: ConfigReader,
  layers: number,
  fallback: (index: number) => LayerType,
): readonly LayerType[] {
  if (!reader.has('layer_types')) return layerTypes(layers, fallback);
  const value = reader.value('layer_types');
  if (!Array.isArray(value) || value.length !== layers || !value.every(isLayerType)) {
    return reader.fail(
      'layer_types',
      `must list sliding_attention or full_attention for each of ${layers} layers`,
    );
  }
  return value;
}

/** `withLayers` of a family whose config says the type of each layer, which goes with it. */
export function withTypedLayers<
  C extends { readonly num_hidden_layers: number; readonly layer_types: readonly LayerType[] },
>(config: C, layers: readonly number[]): C {
  const types = layers.map((layer) => config.layer_types[layer]!);
  return { ...config, num_hidden_layers: layers.length, layer_types: types };
}
