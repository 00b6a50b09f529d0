import { GEMMA_FIELDS } from './common/gemma-common.ts';
import { layerTypes, withTypedLayers } from './common/layer-types.ts';
import {
  LOCAL_GEMMA_NORMS,
  type LocalGemmaConfig,
  localGemmaGguf,
  localGemmaParts,
  readLocalGemma,
  writeLocalGemma,
} from './common/local-gemma.ts';
import { rotaryNames } from './common/rotary-decoder.ts';
import { type RotarySizes, sizeFields, TINY_FIELDS, TINY_SIZES } from './common/rotary-sizes.ts';
import { type ClassDefaults, ConfigReader, type RawConfig, type Warn } from './config.ts';
import { defineFamily } from './decoder.ts';

/**
 * Gemma 2 (Gemma Team 2024, arXiv:2408.00118): alternating local sliding-window and global layers, grouped queries,
 * capped logits in attention and at the end, four norms per layer; the 2B and 9B models were distilled.
 *
 * Where implementations go wrong: queries are scaled by query_pre_attn_scalar ** -0.5 (256 at 2B and 9B, 144 at 27B),
 * not by head_dim; a window of W counts the query itself; the order is scale, cap, mask, softmax; the final cap
 * belongs to the loss too; post_attention_layernorm is the attention's own post-norm, not the MLP's pre-norm.
 */
export type Gemma2Config = LocalGemmaConfig;

/** Layers 0, 2, 4 … are local, 1, 3, 5 … global; files on the hub rely on this and have no layer_types. */
const isLocal = (index: number) => index % 2 === 0;

const names = rotaryNames('Gemma2', {
  activation: 'GELUTanh',
  embedding: 'Gemma2TextScaledWordEmbedding',
  norms: LOCAL_GEMMA_NORMS,
});

/** As in the 2B and 9B models and the class in transformers. */
const OWN_FIELDS = {
  query_pre_attn_scalar: 256,
  sliding_window: 4096,
  attn_logit_softcapping: 50,
  final_logit_softcapping: 30,
};

function config(sizes: RotarySizes, rest: Partial<Gemma2Config> = {}): Gemma2Config {
  return {
    ...GEMMA_FIELDS,
    ...sizeFields(sizes),
    ...OWN_FIELDS,
    layer_types: layerTypes(sizes.layers, isLocal),
    ...rest,
  };
}

const size2b = { width: 2304, hidden: 9216, layers: 26, heads: 8, kvHeads: 4, headDim: 256 };
const size9b = { width: 3584, hidden: 14336, layers: 42, heads: 16, kvHeads: 8, headDim: 256 };
const size27b = { width: 4608, hidden: 36864, layers: 46, heads: 32, kvHeads: 16, headDim: 128 };

const source = 'Gemma Team 2024, arXiv:2408.00118';
const [distilled, predicted] = ['knowledge distillation', 'next-token prediction'];

/** A window shorter than the context, so that it has an effect. */
const tiny = { ...TINY_FIELDS, query_pre_attn_scalar: 24, sliding_window: 32 };

/** The class's in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'Gemma2Config',
  fields: {
    vocab_size: 256000,
    ...sizeFields(size2b),
    ...{ max_position_embeddings: 8192, rms_norm_eps: 1e-6 },
    ...OWN_FIELDS,
    ...{ bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 },
  },
};

function published(sizes: RotarySizes, data: string, method: string, hub: string, scalar = 256) {
  const own = config(sizes, { query_pre_attn_scalar: scalar });
  return { config: own, training: { data, method, source }, hub: `google/${hub}` };
}

export const gemma2 = defineFamily<Gemma2Config>({
  name: 'gemma2',
  title: 'Gemma 2',
  predecessor: 'gemma',
  modelType: 'gemma2',
  architecture: 'Gemma2ForCausalLM',
  training: { data: 'about 13T tokens', method: `${distilled} (2B, 9B), ${predicted} (27B)`, source },
  defaultPreset: 'gemma-2-9b',
  presets: {
    'gemma-2-2b': published(size2b, '2T tokens', distilled, 'gemma-2-2b'),
    'gemma-2-9b': published(size9b, '8T tokens', distilled, 'gemma-2-9b'),
    'gemma-2-27b': published(size27b, '13T tokens', predicted, 'gemma-2-27b', 144),
    tiny: { config: config({ ...TINY_SIZES, hidden: 288 }, tiny) },
  },
  readConfig: (raw: RawConfig, file: string, warn?: Warn) =>
    readLocalGemma(new ConfigReader(raw, file, CLASS_DEFAULTS, warn), isLocal),
  writeConfig: (c) => ({ ...writeLocalGemma(c), cache_implementation: 'hybrid' }),
  withLayers: withTypedLayers,
  parts: (c) => localGemmaParts(c),
  names,
  gguf: localGemmaGguf({
    architecture: 'gemma2',
    largest: 46,
    window: 4096,
    isLocal,
    // llama.cpp caps the logits of every Gemma 2, and would divide by a cap of 0.
    settings: {
      attn_logit_softcapping: ['attn_logit_softcapping', 'f32', 50],
      final_logit_softcapping: ['final_logit_softcapping', 'f32', 30],
    },
  }),
  transformersJs: true,
});
