import {
  type RotaryDecoderConfig,
  readRotaryDecoder,
  rotaryLayer,
  rotaryNames,
  rotaryParts,
  withRotaryLayers,
  writeRotaryDecoder,
} from './common/rotary-decoder.ts';
import { presetFields, TINY_FIELDS, TINY_SIZES } from './common/rotary-sizes.ts';
import { type ClassDefaults, ConfigReader, type RawConfig, type Warn } from './config.ts';
import { type DecoderNames, type DecoderParts, defineFamily } from './decoder.ts';

/**
 * HyperCLOVA X (NAVER Cloud): Llama's layers with multipliers (maximal update parametrization, Yang et al. 2022,
 * arXiv:2203.03466) and, where `use_post_norm` is true, norms after attention and MLP too.
 *
 * Where implementations go wrong: `logits_scaling` is a factor, where Granite's is a divisor; `attention_multiplier`
 * replaces head_dim ** -0.5; the branch is normalized before it is multiplied by `residual_multiplier`.
 */
export interface HyperClovaXConfig extends RotaryDecoderConfig {
  readonly mlp_bias: boolean;
  readonly embedding_multiplier: number;
  readonly attention_multiplier: number;
  readonly residual_multiplier: number;
  readonly logits_scaling: number;
  readonly use_post_norm: boolean;
}

const common = rotaryNames('HyperCLOVAX', {
  activation: 'SiLUActivation',
  norms: {
    attentionNorm: 'input_layernorm',
    mlpNorm: 'post_attention_layernorm',
    attentionPostNorm: 'post_norm1',
    mlpPostNorm: 'post_norm2',
  },
});
const names: DecoderNames = { ...common, identities: ['attentionPostNorm', 'mlpPostNorm'] };

function parts(c: HyperClovaXConfig): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 0 } as const;
  const whole = rotaryParts(c, norm, (_index, rope) => {
    const layer = rotaryLayer(c, norm, 'silu', rope);
    return {
      ...layer,
      norms: {
        ...layer.norms,
        ...(c.use_post_norm && { attentionPostNorm: norm, mlpPostNorm: norm }),
      },
      attention: { ...layer.attention, scale: c.attention_multiplier },
      mlp: { ...layer.mlp, bias: c.mlp_bias },
      branchScale: c.residual_multiplier,
    };
  });
  return {
    ...whole,
    embeddingScale: c.embedding_multiplier,
    head: { ...whole.head, scale: c.logits_scaling },
  };
}

/** No published configuration was found: the parts are those of the class in transformers 5.18. */
const tiny: HyperClovaXConfig = {
  ...presetFields({ ...TINY_SIZES, hidden: 288 }),
  ...TINY_FIELDS,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  mlp_bias: false,
  embedding_multiplier: 4,
  attention_multiplier: 0.15,
  residual_multiplier: 0.5,
  logits_scaling: 0.5,
  use_post_norm: true,
  tie_word_embeddings: true,
};

/** The class's in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'HyperCLOVAXConfig',
  fields: {
    vocab_size: 32000,
    hidden_size: 4096,
    intermediate_size: 11008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-6,
    bos_token_id: 1,
    eos_token_id: 2,
  },
};

export const hyperclovax = defineFamily<HyperClovaXConfig>({
  name: 'hyperclovax',
  title: 'HyperCLOVA X',
  predecessor: 'llama',
  modelType: 'hyperclovax',
  architecture: 'HyperCLOVAXForCausalLM',
  training: { data: 'not published', method: 'next-token prediction', source: 'NAVER Cloud 2025' },
  defaultPreset: 'tiny',
  presets: { tiny: { config: tiny } },
  readConfig(raw: RawConfig, file: string, warn?: Warn): HyperClovaXConfig {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    reader.choice('hidden_act', { silu: true, swish: true }, 'silu');
    const common = readRotaryDecoder(reader, { tied: false, dividesHeads: true });
    return {
      ...common,
      mlp_bias: reader.flag('mlp_bias', false),
      embedding_multiplier: reader.number('embedding_multiplier', 1),
      attention_multiplier: reader.optionalNumber('attention_multiplier') ?? common.head_dim ** -0.5,
      residual_multiplier: reader.number('residual_multiplier', 1),
      logits_scaling: reader.number('logits_scaling', 1),
      use_post_norm: reader.flag('use_post_norm', true),
    };
  },
  writeConfig: (c) => ({
    ...writeRotaryDecoder(c),
    hidden_act: 'silu',
    mlp_bias: c.mlp_bias,
    embedding_multiplier: c.embedding_multiplier,
    attention_multiplier: c.attention_multiplier,
    residual_multiplier: c.residual_multiplier,
    logits_scaling: c.logits_scaling,
    use_post_norm: c.use_post_norm,
  }),
  withLayers: withRotaryLayers,
  parts,
  names,
  gguf: { none: 'none of its architectures has both these multipliers and norms after the branches' },
  transformersJs: false,
});
