import type { ConfigReader } from '../config.ts';

/** Whether a layer is local or global, as config.json spells it. */
export type LayerType = 'sliding_attention' | 'full_attention';

/** @param isLocal by layer index. */
export function layerTypes(layers: number, isLocal: (index: number) => boolean): LayerType[] {
  return Array.from({ length: layers }, (_, i) => (isLocal(i) ? 'sliding_attention' : 'full_attention'));
}

/** Every `count`-th layer is global, the others are local. */
export function globalEvery(count: number): (index: number) => boolean {
  return (index) => (index + 1) % count !== 0;
}

/**
 * The rule in `sliding_window_pattern`: a number, or letters such as `LLLG` for local, local, local, global.
 *
 * @param usual the number for a file without the field.
 */
export function readLayerPattern(reader: ConfigReader, usual: number): (index: number) => boolean {
  const field = 'sliding_window_pattern';
  const pattern = reader.value(field);
  if (typeof pattern !== 'string') return globalEvery(reader.count(field, usual));
  if (/^[LG]+$/.test(pattern)) return (index) => pattern[index % pattern.length] === 'L';
  return reader.fail(
    field,
    `must be a number or consist of the letters L and G, but is ${JSON.stringify(pattern)}`,
  );
}

/** @param isLocal the rule for a file without `layer_types`. */
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

/** A family whose local layers have a window and whose other layers see all previous positions. */
export interface WindowConfig {
  /** Null if no layer has one. */
  readonly sliding_window: number | null;
  readonly layer_types: readonly LayerType[];
}

/**
 * @param slides whether `sliding_window` counts.
 * @param rule which layers are local if there is a window and the file has no `layer_types`.
 */
export function readWindows(
  reader: ConfigReader,
  layers: number,
  slides: boolean,
  rule: () => (index: number) => boolean,
): WindowConfig {
  const sliding_window = slides && reader.has('sliding_window') ? reader.count('sliding_window') : null;
  const layer_types = readLayerTypes(reader, layers, sliding_window === null ? () => false : rule());
  if (sliding_window === null && layer_types.includes('sliding_attention')) {
    const off = slides ? '' : ' where "use_sliding_window" is not true';
    reader.fail('layer_types', `has local layers, but "sliding_window" is not set${off}`);
  }
  return { sliding_window, layer_types };
}

/** The window of a layer; null for a global one. */
export function windowOf(c: WindowConfig, index: number): number | null {
  return c.layer_types[index] === 'sliding_attention' ? c.sliding_window : null;
}

/** `withLayers` for a family whose config states the type of each layer. */
export function withTypedLayers<
  C extends { readonly num_hidden_layers: number; readonly layer_types: readonly LayerType[] },
>(config: C, layers: readonly number[]): C {
  const types = layers.map((layer) => config.layer_types[layer]!);
  return { ...config, num_hidden_layers: layers.length, layer_types: types };
}
