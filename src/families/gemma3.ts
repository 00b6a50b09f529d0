import { GEMMA_FIELDS } from './common/gemma-common.ts';
import { globalEvery, layerTypes, withTypedLayers } from './common/layer-types.ts';
import {
  LOCAL_GEMMA_NORMS,
  type LocalGemmaConfig,
  localGemmaGguf,
  localGemmaParts,
  readLocalGemma,
  writeLocalGemma,
} from './common/local-gemma.ts';
import { languageModelName } from './common/multimodal-names.ts';
import { type RopeConfig, readTwoRopes, writeTwoRopes } from './common/rope-config.ts';
import { rotaryNames } from './common/rotary-decoder.ts';
import { type RotarySizes, sizeFields, TINY_FIELDS, TINY_SIZES } from './common/rotary-sizes.ts';
import { type ClassDefaults, ConfigReader, type RawConfig, type Warn } from './config.ts';
import { type DecoderParts, defineFamily } from './decoder.ts';
import type { Preset } from './family.ts';

/**
 * Gemma 3, its text model (Gemma Team 2025, arXiv:2503.19786): five local layers for each global one, a rotary base
 * for each kind, per-head norms of queries and keys instead of attention caps.
 *
 * Where implementations go wrong: every sixth layer is global, the others local; base 10,000 on local layers and
 * 1,000,000 on global ones, and scaling only on global ones; the norms of queries and keys scale by 1 + weight, like
 * all of Gemma's norms; the scale is query_pre_attn_scalar ** -0.5; the fields of the caps exist and are null
 * (transformers 5.18 reads only that of the final logits, so an attention cap is refused).
 */
export interface Gemma3Config extends LocalGemmaConfig {
  /** Of local layers; `rope_theta` and `rope_scaling` apply to global ones. */
  readonly local_rope: RopeConfig;
}

const names = rotaryNames('Gemma3', {
  activation: 'GELUTanh',
  embedding: 'Gemma3TextScaledWordEmbedding',
  body: 'Gemma3TextModel',
  norms: LOCAL_GEMMA_NORMS,
});

function parts(c: Gemma3Config): DecoderParts {
  const { rope_theta: theta, rope_scaling: scaling } = c.local_rope;
  const localRope = { theta, scaling };
  const headNorm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 1 } as const;
  return localGemmaParts(c, (layer, isLocal) => ({
    ...layer,
    rope: isLocal ? localRope : layer.rope,
    attention: { ...layer.attention, headNorm },
  }));
}

/** The RoPE base of local layers. */
const LOCAL_THETA = 10000;

function config(sizes: RotarySizes, rest: Partial<Gemma3Config> = {}): Gemma3Config {
  return {
    ...GEMMA_FIELDS,
    ...sizeFields(sizes),
    vocab_size: 262144,
    max_position_embeddings: 32768,
    rope_theta: 1e6,
    local_rope: { rope_theta: LOCAL_THETA, rope_scaling: null },
    query_pre_attn_scalar: 256,
    sliding_window: 512,
    layer_types: layerTypes(sizes.layers, globalEvery(6)),
    attn_logit_softcapping: null,
    final_logit_softcapping: null,
    ...rest,
  };
}

const size270m = { width: 640, hidden: 2048, layers: 18, heads: 4, kvHeads: 1, headDim: 256 };
const size1b = { width: 1152, hidden: 6912, layers: 26, heads: 4, kvHeads: 1, headDim: 256 };

/** A window shorter than the context, and alternating local and global layers, so that both have an effect. */
const tiny = {
  ...TINY_FIELDS,
  query_pre_attn_scalar: 24,
  sliding_window: 32,
  layer_types: layerTypes(TINY_SIZES.layers, globalEvery(2)),
};

const source = 'Gemma Team 2025, arXiv:2503.19786';
const method = 'knowledge distillation';

function published(sizes: RotarySizes, data: string, hub: string): Preset<Gemma3Config> {
  return { config: config(sizes), training: { data, method, source }, hub: `google/${hub}` };
}

/** The class's in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'Gemma3TextConfig',
  fields: {
    vocab_size: 262208,
    ...{ hidden_size: 2304, intermediate_size: 9216, num_hidden_layers: 26 },
    ...{ num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256 },
    ...{ max_position_embeddings: 131072, rms_norm_eps: 1e-6 },
    ...{ query_pre_attn_scalar: 256, sliding_window: 4096 },
    ...{ bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 },
  },
};

export const gemma3 = defineFamily<Gemma3Config>({
  name: 'gemma3',
  title: 'Gemma 3',
  predecessor: 'gemma2',
  modelType: 'gemma3_text',
  architecture: 'Gemma3ForCausalLM',
  multimodal: { modelType: 'gemma3', textName: languageModelName },
  training: { data: '2T to 14T tokens', method, source },
  defaultPreset: 'gemma-3-1b',
  presets: {
    'gemma-3-270m': published(size270m, '6T tokens', 'gemma-3-270m'),
    'gemma-3-1b': published(size1b, '2T tokens', 'gemma-3-1b-pt'),
    tiny: { config: config({ ...TINY_SIZES, hidden: 288 }, tiny) },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): Gemma3Config {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    reader.mustBe('attn_logit_softcapping', [null]);
    const ropes = readTwoRopes(reader, { global: 1e6, local: LOCAL_THETA });
    const pattern = reader.count('sliding_window_pattern', reader.count('_sliding_window_pattern', 6));
    return { ...readLocalGemma(reader, globalEvery(pattern), ropes.global), local_rope: ropes.local };
  },
  writeConfig: (c) => ({ ...writeLocalGemma(c), ...writeTwoRopes({ global: c, local: c.local_rope }) }),
  withLayers: withTypedLayers,
  parts,
  names,
  gguf: localGemmaGguf({
    architecture: 'gemma3',
    headNorms: true,
    largest: 62,
    window: 1024,
    isLocal: globalEvery(6),
    only: {
      'rope.freq_base_swa': LOCAL_THETA,
      'attention.sliding_window_pattern': 6,
      final_logit_softcapping: null,
    },
    write(c, refused) {
      const { rope_theta, rope_scaling } = c.local_rope;
      if (rope_theta !== LOCAL_THETA || rope_scaling !== null) {
        throw refused(`the rotary base of its local layers is not ${LOCAL_THETA} without scaling`);
      }
      if (c.final_logit_softcapping !== null) throw refused('it has a cap ("final_logit_softcapping")');
      return [];
    },
  }),
  transformersJs: true,
});
