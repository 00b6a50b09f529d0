import type { ConfigReader } from '../config.ts';
import { layerTypes, readWindows, type WindowConfig } from './layer-types.ts';
import { type RotaryDecoderConfig, readRotaryDecoder, writeRotaryDecoder } from './rotary-decoder.ts';
import { sizeFields, TINY_FIELDS, TINY_SIZES, USUAL_FIELDS } from './rotary-sizes.ts';

/** What Qwen's generations share: windows that are off in all published models. */
export interface QwenConfig extends RotaryDecoderConfig, WindowConfig {
  readonly max_window_layers: number;
}

/** Preset fields that models with this many layers share. */
export function qwenFields(layers: number) {
  return {
    ...USUAL_FIELDS,
    vocab_size: 151936,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    ...{ sliding_window: null, max_window_layers: layers, layer_types: layerTypes(layers, () => false) },
    pad_token_id: null,
  };
}

/** The `tiny` preset without what is specific to a generation. */
export const TINY_QWEN: Omit<QwenConfig, 'attention_bias'> = {
  ...qwenFields(TINY_SIZES.layers),
  ...sizeFields({ ...TINY_SIZES, hidden: 288 }),
  ...TINY_FIELDS,
  rope_theta: 10000,
  tie_word_embeddings: true,
};

/** The defaults of the classes in transformers 5.18 for missing fields. */
export const QWEN_DEFAULTS = {
  vocab_size: 151936,
  hidden_size: 4096,
  intermediate_size: 22016,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  max_position_embeddings: 32768,
  rms_norm_eps: 1e-6,
};

/**
 * `sliding_window` counts only where `use_sliding_window` is true, and then only from layer `max_window_layers` on.
 *
 * @param dividesHeads whether `head_dim` defaults to width / heads.
 */
export function readQwen(reader: ConfigReader, dividesHeads: boolean): QwenConfig {
  reader.choice('hidden_act', { silu: true, swish: true }, 'silu');
  const common = readRotaryDecoder(reader, { tied: false, dividesHeads });
  const slides = reader.flag('use_sliding_window', false);
  const max_window_layers = reader.count('max_window_layers', 28, 0);
  const rule = (index: number) => index >= max_window_layers;
  const windows = readWindows(reader, common.num_hidden_layers, slides, () => rule);
  return { ...common, ...windows, max_window_layers };
}

/** The fields of {@link readQwen}. */
export function writeQwen(c: QwenConfig): Record<string, unknown> {
  return {
    ...writeRotaryDecoder(c),
    hidden_act: 'silu',
    use_sliding_window: c.sliding_window !== null,
    sliding_window: c.sliding_window,
    max_window_layers: c.max_window_layers,
    layer_types: [...c.layer_types],
  };
}
