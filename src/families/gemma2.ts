import { type ClassDefaults, ConfigReader, type RawConfig, type Warn } from './config.ts';
import { type DecoderParts, defineFamily } from './decoder.ts';
import { type Preset, TINY_INITIALIZER_RANGE } from './family.ts';
import { readGemma, writeGemma } from './gemma.ts';
import { type LayerType, layerTypes, readLayerTypes } from './layer-types.ts';
import { type RotaryDecoderConfig, rotaryLayer, rotaryNames, rotaryParts } from './rotary-decoder.ts';

/**
 * Gemma 2 (Gemma Team 2024, arXiv:2408.00118): local sliding-window and global layers in turn, grouped queries, capped
 * logits in attention and at the end, four norms a layer; the 2B and 9B models were distilled.
 *
 * Where implementations go wrong: queries are scaled by query_pre_attn_scalar ** -0.5 (256 at 2B and 9B, 144 at 27B),
 * not by head_dim; a window of W counts the query itself; the order is scale, cap, mask, softmax; the final cap
 * belongs to the loss too; post_attention_layernorm is the attention's own post-norm, not the MLP's pre-norm.
 */
export interface Gemma2Config extends RotaryDecoderConfig {
  readonly query_pre_attn_scalar: number;
  readonly sliding_window: number;
  /** Whether each layer is local (sliding_attention) or global (full_attention). */
  readonly layer_types: readonly LayerType[];
  readonly attn_logit_softcapping: number | null;
  readonly final_logit_softcapping: number | null;
}

/** Layers 0, 2, 4 … are local, 1, 3, 5 … global; files on the hub have no layer_types and mean this. */
const isLocal = (index: number) => index % 2 === 0;

const names = rotaryNames('Gemma2', {
  activation: 'GELUTanh',
  embedding: 'Gemma2TextScaledWordEmbedding',
  norms: {
    attentionNorm: 'input_layernorm',
    attentionPostNorm: 'post_attention_layernorm',
    mlpNorm: 'pre_feedforward_layernorm',
    mlpPostNorm: 'post_feedforward_layernorm',
  },
});

function parts(c: Gemma2Config): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 1 } as const;
  const whole = rotaryParts(c, norm, (index, rope) => {
    const layer = rotaryLayer(c, norm, 'gelu', rope);
    return {
      ...layer,
      norms: { attentionNorm: norm, attentionPostNorm: norm, mlpNorm: norm, mlpPostNorm: norm },
      attention: {
        ...layer.attention,
        scale: c.query_pre_attn_scalar ** -0.5,
        window: c.layer_types[index] === 'sliding_attention' ? c.sliding_window : null,
        softcap: c.attn_logit_softcapping,
      },
    };
  });
  return {
    ...whole,
    embeddingScale: Math.sqrt(c.hidden_size),
    head: { ...whole.head, softcap: c.final_logit_softcapping },
  };
}

function config(size: Partial<Gemma2Config>): Gemma2Config {
  return {
    vocab_size: 256000,
    hidden_size: 2304,
    intermediate_size: 9216,
    num_hidden_layers: 26,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    rope_scaling: null,
    attention_bias: false,
    query_pre_attn_scalar: 256,
    sliding_window: 4096,
    layer_types: layerTypes(size.num_hidden_layers ?? 26, isLocal),
    attn_logit_softcapping: 50,
    final_logit_softcapping: 30,
    tie_word_embeddings: true,
    initializer_range: 0.02,
    bos_token_id: 2,
    eos_token_id: [1],
    pad_token_id: 0,
    ...size,
  };
}

const source = 'Gemma Team 2024, arXiv:2408.00118';
const distilled = 'knowledge distillation';
const predicted = 'next-token prediction';

function published(
  size: Partial<Gemma2Config>,
  data: string,
  method: string,
  hub: string,
): Preset<Gemma2Config> {
  return { config: config(size), training: { data, method, source }, hub };
}

/** Of the class in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'Gemma2Config',
  fields: {
    vocab_size: 256000,
    hidden_size: 2304,
    intermediate_size: 9216,
    num_hidden_layers: 26,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-6,
    query_pre_attn_scalar: 256,
    sliding_window: 4096,
    attn_logit_softcapping: 50,
    final_logit_softcapping: 30,
    bos_token_id: 2,
    eos_token_id: 1,
    pad_token_id: 0,
  },
};

export const gemma2 = defineFamily<Gemma2Config>({
  name: 'gemma2',
  title: 'Gemma 2',
  predecessor: 'gemma',
  modelType: 'gemma2',
  architecture: 'Gemma2ForCausalLM',
  training: { data: 'about 13T tokens', method: `${distilled} (2B, 9B), ${predicted} (27B)`, source },
  defaultPreset: 'gemma-2-9b',
  presets: {
    'gemma-2-2b': published({}, '2T tokens', distilled, 'google/gemma-2-2b'),
    'gemma-2-9b': published(
      {
        hidden_size: 3584,
        intermediate_size: 14336,
        num_hidden_layers: 42,
        num_attention_heads: 16,
        num_key_value_heads: 8,
      },
      '8T tokens',
      distilled,
      'google/gemma-2-9b',
    ),
    'gemma-2-27b': published(
      {
        hidden_size: 4608,
        intermediate_size: 36864,
        num_hidden_layers: 46,
        num_attention_heads: 32,
        num_key_value_heads: 16,
        head_dim: 128,
        query_pre_attn_scalar: 144,
      },
      '13T tokens',
      predicted,
      'google/gemma-2-27b',
    ),
    tiny: {
      config: config({
        vocab_size: 512,
        hidden_size: 96,
        intermediate_size: 288,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 24,
        query_pre_attn_scalar: 24,
        sliding_window: 32,
        max_position_embeddings: 256,
        initializer_range: TINY_INITIALIZER_RANGE,
        bos_token_id: null,
        eos_token_id: [],
        pad_token_id: null,
      }),
    },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): Gemma2Config {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    const common = readGemma(reader);
    return {
      ...common,
      query_pre_attn_scalar: reader.number('query_pre_attn_scalar'),
      sliding_window: reader.count('sliding_window'),
      layer_types: readLayerTypes(reader, common.num_hidden_layers, isLocal),
      attn_logit_softcapping: reader.optionalNumber('attn_logit_softcapping'),
      final_logit_softcapping: reader.optionalNumber('final_logit_softcapping'),
    };
  },
  writeConfig: (c) => ({
    architectures: ['Gemma2ForCausalLM'],
    model_type: 'gemma2',
    ...writeGemma(c),
    query_pre_attn_scalar: c.query_pre_attn_scalar,
    sliding_window: c.sliding_window,
    layer_types: [...c.layer_types],
    attn_logit_softcapping: c.attn_logit_softcapping,
    final_logit_softcapping: c.final_logit_softcapping,
    cache_implementation: 'hybrid',
  }),
  parts,
  names,
});
