import { gemmaGguf, readGemma, writeGemma } from './common/gemma-common.ts';
import { type LayerType, layerTypes, readLayerTypes, withTypedLayers } from './common/layer-types.ts';
import { type RopeConfig, readTwoRopes, writeTwoRopes } from './common/rope-config.ts';
import { type RotaryDecoderConfig, rotaryLayer, rotaryNames, rotaryParts } from './common/rotary-decoder.ts';
import { type ClassDefaults, ConfigReader, type RawConfig, type Warn } from './config.ts';
import { type DecoderParts, defineFamily } from './decoder.ts';
import { type Preset, TINY_INITIALIZER_RANGE } from './family.ts';

/**
 * Gemma 3, its text model (Gemma Team 2025, arXiv:2503.19786): five local layers for each global one, a rotary base for each
 * kind, norms over each head of queries and keys in place of the caps on attention.
 *
 * Where implementations go wrong: every sixth layer is global, the others local; base 10,000 on local layers and 1,000,000
 * on global ones, and scaling on global ones alone; the norms of queries and keys scale by 1 + weight, as all of Gemma's
 * do; the scale is query_pre_attn_scalar ** -0.5; the fields of the caps exist and are null (transformers 5.18 heeds that of
 * the final logits alone, so that another cap on attention is refused).
 */
export interface Gemma3Config extends RotaryDecoderConfig {
  readonly query_pre_attn_scalar: number;
  readonly sliding_window: number;
  readonly layer_types: readonly LayerType[];
  /** Of local layers; `rope_theta` and `rope_scaling` are of global ones. */
  readonly local_rope: RopeConfig;
  readonly final_logit_softcapping: number | null;
}

const names = rotaryNames('Gemma3', {
  activation: 'GELUTanh',
  embedding: 'Gemma3TextScaledWordEmbedding',
  body: 'Gemma3TextModel',
  norms: {
    attentionNorm: 'input_layernorm',
    attentionPostNorm: 'post_attention_layernorm',
    mlpNorm: 'pre_feedforward_layernorm',
    mlpPostNorm: 'post_feedforward_layernorm',
  },
});

function parts(c: Gemma3Config): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 1 } as const;
  const localRope = { theta: c.local_rope.rope_theta, scaling: c.local_rope.rope_scaling };
  const whole = rotaryParts(c, norm, (index, globalRope) => {
    const local = c.layer_types[index] === 'sliding_attention';
    const layer = rotaryLayer(c, norm, 'gelu', local ? localRope : globalRope);
    return {
      ...layer,
      norms: { attentionNorm: norm, attentionPostNorm: norm, mlpNorm: norm, mlpPostNorm: norm },
      attention: {
        ...layer.attention,
        scale: c.query_pre_attn_scalar ** -0.5,
        window: local ? c.sliding_window : null,
        headNorm: norm,
      },
    };
  });
  return {
    ...whole,
    embeddingScale: Math.sqrt(c.hidden_size),
    head: { ...whole.head, softcap: c.final_logit_softcapping },
  };
}

/** The base of local layers' rotations. */
const LOCAL_THETA = 10000;

const every = (count: number) => (index: number) => (index + 1) % count !== 0;

function config(
  width: number,
  hidden: number,
  layers: number,
  rest: Partial<Gemma3Config> = {},
): Gemma3Config {
  return {
    vocab_size: 262144,
    hidden_size: width,
    intermediate_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: 4,
    num_key_value_heads: 1,
    head_dim: 256,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    rope_scaling: null,
    local_rope: { rope_theta: LOCAL_THETA, rope_scaling: null },
    attention_bias: false,
    query_pre_attn_scalar: 256,
    sliding_window: 512,
    layer_types: layerTypes(layers, every(6)),
    final_logit_softcapping: null,
    tie_word_embeddings: true,
    initializer_range: 0.02,
    bos_token_id: 2,
    eos_token_id: [1],
    pad_token_id: 0,
    ...rest,
  };
}

const source = 'Gemma Team 2025, arXiv:2503.19786';
const method = 'knowledge distillation';
const published = (own: Gemma3Config, data: string, hub: string): Preset<Gemma3Config> => ({
  config: own,
  training: { data, method, source },
  hub,
});

/** Of the class in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'Gemma3TextConfig',
  fields: {
    vocab_size: 262208,
    hidden_size: 2304,
    intermediate_size: 9216,
    num_hidden_layers: 26,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 131072,
    rms_norm_eps: 1e-6,
    query_pre_attn_scalar: 256,
    sliding_window: 4096,
    bos_token_id: 2,
    eos_token_id: 1,
    pad_token_id: 0,
  },
};

export const gemma3 = defineFamily<Gemma3Config>({
  name: 'gemma3',
  title: 'Gemma 3',
  predecessor: 'gemma2',
  modelType: 'gemma3_text',
  architecture: 'Gemma3ForCausalLM',
  multimodal: {
    modelType: 'gemma3',
    textName(name) {
      // `language_model.model.` on the hub, `model.language_model.` as transformers 5 writes it.
      const [, own] = /^(?:model\.)?language_model\.(?:model\.)?(.+)$/.exec(name) ?? [];
      if (own !== undefined) return own.startsWith('lm_head.') ? own : `model.${own}`;
      return name.startsWith('lm_head.') ? name : undefined;
    },
  },
  training: { data: '2T to 14T tokens', method, source },
  defaultPreset: 'gemma-3-1b',
  presets: {
    'gemma-3-270m': published(config(640, 2048, 18), '6T tokens', 'google/gemma-3-270m'),
    'gemma-3-1b': published(config(1152, 6912, 26), '2T tokens', 'google/gemma-3-1b-pt'),
    tiny: {
      config: config(96, 288, 4, {
        vocab_size: 512,
        num_key_value_heads: 2,
        head_dim: 24,
        query_pre_attn_scalar: 24,
        sliding_window: 32,
        layer_types: layerTypes(4, every(2)),
        max_position_embeddings: 256,
        initializer_range: TINY_INITIALIZER_RANGE,
        bos_token_id: null,
        eos_token_id: [],
        pad_token_id: null,
      }),
    },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): Gemma3Config {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    reader.mustBe('attn_logit_softcapping', [null]);
    reader.mustBe('use_bidirectional_attention', [false]);
    const ropes = readTwoRopes(reader, { global: 1e6, local: LOCAL_THETA });
    const common = readGemma(reader, ropes.global);
    const pattern = reader.count('sliding_window_pattern', reader.count('_sliding_window_pattern', 6));
    return {
      ...common,
      local_rope: ropes.local,
      query_pre_attn_scalar: reader.number('query_pre_attn_scalar'),
      sliding_window: reader.count('sliding_window'),
      layer_types: readLayerTypes(reader, common.num_hidden_layers, every(pattern)),
      final_logit_softcapping: reader.optionalNumber('final_logit_softcapping'),
    };
  },
  writeConfig: (c) => ({
    ...writeGemma(c),
    ...writeTwoRopes({ global: c, local: c.local_rope }),
    query_pre_attn_scalar: c.query_pre_attn_scalar,
    sliding_window: c.sliding_window,
    layer_types: [...c.layer_types],
    attn_logit_softcapping: null,
    final_logit_softcapping: c.final_logit_softcapping,
    use_bidirectional_attention: false,
  }),
  withLayers: withTypedLayers,
  parts,
  names,
  gguf: gemmaGguf({
    architecture: 'gemma3',
    norms: {
      input_layernorm: 'attn_norm',
      post_attention_layernorm: 'post_attention_norm',
      pre_feedforward_layernorm: 'ffn_norm',
      post_feedforward_layernorm: 'post_ffw_norm',
    },
    headNorms: true,
    largest: 62,
    isLocal: every(6),
    settings: { sliding_window: ['attention.sliding_window', 'u32', 1024] },
    write(c, refused) {
      const { rope_theta, rope_scaling } = c.local_rope;
      if (rope_theta !== LOCAL_THETA || rope_scaling !== null) {
        throw refused(`the rotary base of its local layers is not ${LOCAL_THETA} without scaling`);
      }
      if (c.final_logit_softcapping !== null) throw refused('it has a cap ("final_logit_softcapping")');
      return [];
    },
    read(file) {
      const only = (key: string, usual?: number) => {
        if (!file.has(key) || file.value(key) === usual) return;
        throw file.error(
          `"${key}" other than ${usual ?? 'none'} is not supported; run the file with llama.cpp.`,
        );
      };
      only('rope.freq_base_swa', LOCAL_THETA);
      only('attention.sliding_window_pattern', 6);
      only('final_logit_softcapping');
      return {};
    },
  }),
  transformersJs: true,
});
