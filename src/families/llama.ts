import {
  type RotaryDecoderConfig,
  readRotaryDecoder,
  rotaryLayer,
  rotaryNames,
  rotaryParts,
  withRotaryLayers,
  writeRotaryDecoder,
} from './common/rotary-decoder.ts';
import { ATTENTION_PROJECTIONS, ggufHasBias, MLP_PROJECTIONS, rotaryGguf } from './common/rotary-gguf.ts';
import { presetFields, type RotarySizes, TINY_FIELDS, TINY_SIZES } from './common/rotary-sizes.ts';
import { type ClassDefaults, ConfigReader, type RawConfig, type Warn } from './config.ts';
import { type DecoderParts, defineFamily } from './decoder.ts';
import type { Preset } from './family.ts';

/**
 * Llama 3, 3.1 and 3.2 (Grattafiori et al. 2024, arXiv:2407.21783): RoPE, RMSNorm, grouped queries, SwiGLU.
 *
 * Where implementations go wrong: ε is 1e-5 in the checkpoints (always from the config); 3.1 and 3.2 rescale the
 * rotary frequencies; the 1B and 3B models are tied; eos_token_id can be a list.
 */
export interface LlamaConfig extends RotaryDecoderConfig {
  readonly mlp_bias: boolean;
}

const names = rotaryNames('Llama', { activation: 'SiLUActivation' });

function parts(c: LlamaConfig): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 0 } as const;
  return rotaryParts(c, norm, (_index, rope) => {
    const layer = rotaryLayer(c, norm, 'silu', rope);
    return { ...layer, mlp: { ...layer.mlp, bias: c.mlp_bias } };
  });
}

function config(sizes: RotarySizes, rest: Partial<LlamaConfig>): LlamaConfig {
  return {
    ...presetFields(sizes),
    vocab_size: 128256,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
    mlp_bias: false,
    tie_word_embeddings: false,
    bos_token_id: 128000,
    eos_token_id: [128001],
    pad_token_id: null,
    ...rest,
  };
}

/** 3.1 and 3.2: frequencies rescaled for a context of 128k tokens. */
function longContext(factor: number): Partial<LlamaConfig> {
  const bands = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
  return { max_position_embeddings: 131072, rope_scaling: { rope_type: 'llama3', factor, ...bands } };
}

const size8b = { width: 4096, hidden: 14336, layers: 32, heads: 32, kvHeads: 8, headDim: 128 };
const size70b = { width: 8192, hidden: 28672, layers: 80, heads: 64, kvHeads: 8, headDim: 128 };
const size1b = { width: 2048, hidden: 8192, layers: 16, heads: 32, kvHeads: 8, headDim: 64 };
const size3b = { width: 3072, hidden: 8192, layers: 28, heads: 24, kvHeads: 8, headDim: 128 };
const tied = { tie_word_embeddings: true };
const small = { ...longContext(32), ...tied };

const training = {
  data: '15T tokens',
  method: 'next-token prediction',
  source: 'Grattafiori et al. 2024, arXiv:2407.21783',
};
const smallTraining = {
  data: 'up to 9T tokens',
  method: 'next-token prediction with logits of 8B and 70B models, from pruned weights',
  source: 'Llama 3.2 model card, Meta, September 2024',
};

function published(
  sizes: RotarySizes,
  rest: Partial<LlamaConfig>,
  name: string,
  facts = training,
): Preset<LlamaConfig> {
  return { config: config(sizes, rest), training: facts, hub: `meta-llama/${name}` };
}

/** The class's in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'LlamaConfig',
  fields: {
    ...{ vocab_size: 32000, hidden_size: 4096, intermediate_size: 11008 },
    ...{ num_hidden_layers: 32, num_attention_heads: 32 },
    ...{ max_position_embeddings: 2048, rms_norm_eps: 1e-6, bos_token_id: 1, eos_token_id: 2 },
  },
};

export const llama = defineFamily<LlamaConfig>({
  name: 'llama',
  title: 'Llama 3',
  modelType: 'llama',
  architecture: 'LlamaForCausalLM',
  training,
  defaultPreset: 'llama-3-8b',
  presets: {
    'llama-3-8b': published(size8b, {}, 'Meta-Llama-3-8B'),
    'llama-3-70b': published(size70b, {}, 'Meta-Llama-3-70B'),
    'llama-3.1-8b': published(size8b, longContext(8), 'Llama-3.1-8B'),
    'llama-3.2-1b': published(size1b, small, 'Llama-3.2-1B', smallTraining),
    'llama-3.2-3b': published(size3b, small, 'Llama-3.2-3B', smallTraining),
    tiny: { config: config({ ...TINY_SIZES, hidden: 288 }, { ...TINY_FIELDS, ...tied, rope_theta: 10000 }) },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): LlamaConfig {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    reader.choice('hidden_act', { silu: true, swish: true }, 'silu');
    return {
      ...readRotaryDecoder(reader, { tied: false, dividesHeads: true }),
      mlp_bias: reader.flag('mlp_bias', false),
    };
  },
  writeConfig: (c) => ({ ...writeRotaryDecoder(c), hidden_act: 'silu', mlp_bias: c.mlp_bias }),
  withLayers: withRotaryLayers,
  parts,
  names,
  gguf: rotaryGguf({
    architecture: 'llama',
    rotaryRows: true,
    rotaryDivisors: true,
    biases: [...ATTENTION_PROJECTIONS, ...MLP_PROJECTIONS],
    optionalBiases: true,
    read: (file) => ({
      hidden_act: 'silu',
      attention_bias: ggufHasBias(file, ATTENTION_PROJECTIONS),
      mlp_bias: ggufHasBias(file, MLP_PROJECTIONS),
    }),
  }),
  transformersJs: true,
});
