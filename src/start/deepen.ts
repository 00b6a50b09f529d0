import type { CommonConfig } from '../families/config.ts';

/** The fields that hold the number of layers, and the list with one entry a layer. */
interface LayerFields {
  readonly n_layer?: number;
  readonly num_hidden_layers?: number;
  readonly layer_types?: readonly string[];
}

/** The same configuration with more or fewer layers; a pattern of layer types is repeated. */
export function withLayers<C extends CommonConfig>(config: C, layers: number): C {
  const { n_layer, num_hidden_layers, layer_types } = config as C & LayerFields;
  return {
    ...config,
    ...(n_layer !== undefined && { n_layer: layers }),
    ...(num_hidden_layers !== undefined && { num_hidden_layers: layers }),
    ...(layer_types && {
      layer_types: Array.from({ length: layers }, (_, i) => layer_types[i % layer_types.length]!),
    }),
  };
}
