import { TINY_INITIALIZER_RANGE } from '../family.ts';
import type { RotaryDecoderConfig } from './rotary-decoder.ts';

/** The sizes of a preset, short enough for one line of a table. */
export interface RotarySizes {
  readonly width: number;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Sizes by their field names in config.json. */
export function sizeFields(sizes: RotarySizes) {
  return {
    hidden_size: sizes.width,
    intermediate_size: sizes.hidden,
    num_hidden_layers: sizes.layers,
    num_attention_heads: sizes.heads,
    num_key_value_heads: sizes.kvHeads,
    head_dim: sizes.headDim,
  };
}

/** Fields that the presets of most families share. */
export const USUAL_FIELDS = {
  rope_scaling: null,
  attention_bias: false,
  initializer_range: 0.02,
} as const satisfies Partial<RotaryDecoderConfig>;

/** {@link USUAL_FIELDS} and sizes. */
export function presetFields(sizes: RotarySizes) {
  return { ...USUAL_FIELDS, ...sizeFields(sizes) };
}

/**
 * Sizes of the `tiny` presets except for the MLP's width, which each family sets so that all have the same number of
 * parameters.
 */
export const TINY_SIZES = { width: 96, layers: 4, heads: 4, kvHeads: 2, headDim: 24 } as const;

/** What the `tiny` presets share besides their sizes: a tokenizer trained with them, without special tokens. */
export const TINY_FIELDS = {
  vocab_size: 512,
  max_position_embeddings: 256,
  initializer_range: TINY_INITIALIZER_RANGE,
  bos_token_id: null,
  eos_token_id: [],
  pad_token_id: null,
} as const satisfies Partial<RotaryDecoderConfig>;
