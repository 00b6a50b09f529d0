import type { ConfigReader } from '../config.ts';

/** Whether a layer is local or global, in the words of config.json. */
export type LayerType = 'sliding_attention' | 'full_attention';

/** @param isLocal by the layer's index. */
export function layerTypes(layers: number, isLocal: (index: number) => boolean): LayerType[] {
  return Array.from({ length: layers }, (_, i) => (isLocal(i) ? 'sliding_attention' : 'full_attention'));
}

/** @param isLocal what a file without `layer_types` means. */
export function readLayerTypes(
  reader: ConfigReader,
  layers: number,
  isLocal: (index: number) => boolean,
): LayerType[] {
  if (!reader.has('layer_types')) return layerTypes(layers, isLocal);
  const value = reader.value('layer_types');
  const known = (type: unknown): type is LayerType =>
    type === 'sliding_attention' || type === 'full_attention';
  if (!Array.isArray(value) || value.length !== layers || !value.every(known)) {
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
