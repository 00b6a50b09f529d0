import { type ClassDefaults, ConfigReader, type RawConfig, type Warn } from './config.ts';
import { type DecoderParts, defineFamily } from './decoder.ts';
import { type Preset, TINY_INITIALIZER_RANGE } from './family.ts';
import type { RopeConfig } from './rope-config.ts';
import {
  type RotaryDecoderConfig,
  readRotaryDecoder,
  rotaryLayer,
  rotaryNames,
  rotaryParts,
  writeRotaryDecoder,
} from './rotary-decoder.ts';

/**
 * Gemma (Gemma Team 2024, arXiv:2403.08295): RoPE, RMSNorm, GeGLU; multi-head attention at 7B, multi-query at 2B.
 *
 * Where implementations go wrong: RMSNorm scales by 1 + weight; the embedding is scaled by √width, the tied head is
 * not; head_dim is a field of its own (16 × 256 on a width of 3072); `hidden_act: "gelu"` in old files means the tanh form.
 */
export type GemmaConfig = RotaryDecoderConfig;

/** What the configs of both generations have in common. Every name of GELU means the tanh form there. */
export function readGemma(reader: ConfigReader, rope?: RopeConfig): GemmaConfig {
  const tanhForms = { gelu_pytorch_tanh: true, gelu: true, gelu_new: true, gelu_fast: true };
  const field = reader.has('hidden_activation') ? 'hidden_activation' : 'hidden_act';
  reader.choice(field, tanhForms, 'gelu_pytorch_tanh');
  reader.mustBe('use_bidirectional_attention', [false]);
  return readRotaryDecoder(reader, { tied: true, dividesHeads: false, rope });
}

/** The fields of {@link readGemma}. */
export function writeGemma(c: GemmaConfig): Record<string, unknown> {
  const activation = 'gelu_pytorch_tanh';
  return { ...writeRotaryDecoder(c), hidden_act: activation, hidden_activation: activation };
}

const names = rotaryNames('Gemma', {
  activation: 'GELUTanh',
  embedding: 'GemmaTextScaledWordEmbedding',
});

function parts(c: GemmaConfig): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 1 } as const;
  return {
    ...rotaryParts(c, norm, (_index, rope) => rotaryLayer(c, norm, 'gelu', rope)),
    embeddingScale: Math.sqrt(c.hidden_size),
  };
}

function config(size: Partial<GemmaConfig>): GemmaConfig {
  return {
    vocab_size: 256000,
    hidden_size: 2048,
    intermediate_size: 16384,
    num_hidden_layers: 18,
    num_attention_heads: 8,
    num_key_value_heads: 1,
    head_dim: 256,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    rope_scaling: null,
    attention_bias: false,
    tie_word_embeddings: true,
    initializer_range: 0.02,
    bos_token_id: 2,
    eos_token_id: [1],
    pad_token_id: 0,
    ...size,
  };
}

const source = 'Gemma Team 2024, arXiv:2403.08295';
const method = 'next-token prediction';

function published(size: Partial<GemmaConfig>, data: string, hub: string): Preset<GemmaConfig> {
  return { config: config(size), training: { data, method, source }, hub };
}

/** Of the class in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'GemmaConfig',
  fields: {
    vocab_size: 256000,
    hidden_size: 3072,
    intermediate_size: 24576,
    num_hidden_layers: 28,
    num_attention_heads: 16,
    num_key_value_heads: 16,
    head_dim: 256,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-6,
    bos_token_id: 2,
    eos_token_id: 1,
    pad_token_id: 0,
  },
};

export const gemma = defineFamily<GemmaConfig>({
  name: 'gemma',
  title: 'Gemma',
  modelType: 'gemma',
  architecture: 'GemmaForCausalLM',
  training: { data: 'about 6T tokens', method, source },
  defaultPreset: 'gemma-7b',
  presets: {
    'gemma-2b': published({}, '3T tokens', 'google/gemma-2b'),
    'gemma-7b': published(
      {
        hidden_size: 3072,
        intermediate_size: 24576,
        num_hidden_layers: 28,
        num_attention_heads: 16,
        num_key_value_heads: 16,
      },
      '6T tokens',
      'google/gemma-7b',
    ),
    tiny: {
      config: config({
        vocab_size: 512,
        hidden_size: 96,
        intermediate_size: 256,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        num_key_value_heads: 4,
        head_dim: 24,
        max_position_embeddings: 256,
        initializer_range: TINY_INITIALIZER_RANGE,
        bos_token_id: null,
        eos_token_id: [],
        pad_token_id: null,
      }),
    },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): GemmaConfig {
    return readGemma(new ConfigReader(raw, file, CLASS_DEFAULTS, warn));
  },
  writeConfig: (c) => ({
    architectures: ['GemmaForCausalLM'],
    model_type: 'gemma',
    ...writeGemma(c),
  }),
  parts,
  names,
});
