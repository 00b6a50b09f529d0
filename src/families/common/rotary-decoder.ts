import type { NormSettings } from '../../nn/norm.ts';
import { type CommonConfig, type ConfigReader, readCommon, writeCommon } from '../config.ts';
import type { DecoderNames, DecoderParts, LayerParts, RopeParts } from '../decoder.ts';
import { type RopeConfig, readRope, writeRope } from './rope-config.ts';

/**
 * What Gemma, Gemma 2 and Llama share: config fields, and what follows from them. What distinguishes each family is
 * in its own file.
 */
export interface RotaryDecoderConfig extends CommonConfig, RopeConfig {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  /** Independent of hidden_size / num_attention_heads. */
  readonly head_dim: number;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly attention_bias: boolean;
}

/** @param defaults this family's values for fields that a config.json leaves out. */
export function readRotaryDecoder(
  reader: ConfigReader,
  defaults: {
    readonly tied: boolean;
    readonly dividesHeads: boolean;
    /** Already read, if a family has more than one. */
    readonly rope?: RopeConfig | undefined;
  },
): RotaryDecoderConfig {
  const width = reader.count('hidden_size');
  const heads = reader.count('num_attention_heads');
  if (defaults.dividesHeads && !reader.has('head_dim') && width % heads !== 0) {
    reader.fail('num_attention_heads', `must divide hidden_size (${width}) if head_dim is missing`);
  }
  const read = {
    ...readCommon(reader, defaults.tied),
    ...(defaults.rope ?? readRope(reader)),
    hidden_size: width,
    intermediate_size: reader.count('intermediate_size'),
    num_hidden_layers: reader.layers('num_hidden_layers'),
    num_attention_heads: heads,
    num_key_value_heads: reader.count('num_key_value_heads', heads),
    head_dim: reader.count('head_dim', defaults.dividesHeads ? width / heads : undefined),
    max_position_embeddings: reader.count('max_position_embeddings'),
    rms_norm_eps: reader.number('rms_norm_eps'),
    attention_bias: reader.flag('attention_bias', false),
  };
  if (heads % read.num_key_value_heads !== 0) {
    reader.fail('num_key_value_heads', `must divide num_attention_heads (${heads})`);
  }
  if (read.head_dim % 2 !== 0) reader.fail('head_dim', 'must be even: RoPE rotates pairs');
  return read;
}

/** The fields of {@link readRotaryDecoder} as a config.json has them. */
export function writeRotaryDecoder(c: RotaryDecoderConfig): Record<string, unknown> {
  return {
    ...writeCommon(c),
    ...writeRope(c),
    hidden_size: c.hidden_size,
    intermediate_size: c.intermediate_size,
    num_hidden_layers: c.num_hidden_layers,
    num_attention_heads: c.num_attention_heads,
    num_key_value_heads: c.num_key_value_heads,
    head_dim: c.head_dim,
    max_position_embeddings: c.max_position_embeddings,
    rms_norm_eps: c.rms_norm_eps,
    attention_bias: c.attention_bias,
    attention_dropout: 0,
  };
}

/** `withLayers` for a family whose config says nothing about single layers. */
export function withRotaryLayers<C extends RotaryDecoderConfig>(config: C, layers: readonly number[]): C {
  return { ...config, num_hidden_layers: layers.length };
}

/** A layer as the config describes it: RMSNorm before both branches, grouped queries with RoPE, a gated MLP. */
export function rotaryLayer(
  c: RotaryDecoderConfig,
  norm: NormSettings,
  activation: LayerParts['mlp']['activation'],
  rope: RopeParts,
): LayerParts {
  return {
    norms: { attentionNorm: norm, mlpNorm: norm },
    attention: {
      heads: c.num_attention_heads,
      kvHeads: c.num_key_value_heads,
      headDim: c.head_dim,
      scale: c.head_dim ** -0.5,
      window: null,
      softcap: null,
      bias: c.attention_bias,
      outputBias: c.attention_bias,
    },
    rope,
    mlp: { activation, gated: true, hidden: c.intermediate_size, bias: false },
  };
}

/** The model around the layers. @param layer makes each layer, given its index and what all layers share. */
export function rotaryParts(
  c: RotaryDecoderConfig,
  norm: NormSettings,
  layer: (index: number, rope: RopeParts) => LayerParts,
): DecoderParts {
  const rope = { theta: c.rope_theta, scaling: c.rope_scaling };
  return {
    vocabSize: c.vocab_size,
    width: c.hidden_size,
    maxPositions: c.max_position_embeddings,
    paddingId: c.pad_token_id ?? undefined,
    positions: null,
    layers: Array.from({ length: c.num_hidden_layers }, (_, i) => layer(i, rope)),
    norm,
    head: { tied: c.tie_word_embeddings, bias: false, softcap: null },
    initial: { std: c.initializer_range },
  };
}

/** Hugging Face's names for such models. @param prefix of the class names that PyTorch prints. */
export function rotaryNames(
  prefix: string,
  {
    activation,
    embedding = 'Embedding',
    body = `${prefix}Model`,
    norms,
  }: {
    readonly activation: string;
    readonly embedding?: string;
    readonly body?: string;
    /** Places of the norms, in the order of the printed tree. Default before both branches. */
    readonly norms?: DecoderNames['layer']['children'];
  },
): DecoderNames {
  return {
    model: { type: `${prefix}ForCausalLM`, children: { body: 'model', head: 'lm_head' } },
    body: {
      type: body,
      children: {
        embedding: 'embed_tokens',
        layers: 'layers',
        norm: 'norm',
        rotary: 'rotary_emb',
        localRotary: 'rotary_emb_local',
      },
    },
    layer: {
      type: `${prefix}DecoderLayer`,
      children: {
        attention: 'self_attn',
        mlp: 'mlp',
        ...(norms ?? { attentionNorm: 'input_layernorm', mlpNorm: 'post_attention_layernorm' }),
      },
    },
    attention: {
      type: `${prefix}Attention`,
      children: {
        query: 'q_proj',
        key: 'k_proj',
        value: 'v_proj',
        output: 'o_proj',
        queryNorm: 'q_norm',
        keyNorm: 'k_norm',
      },
    },
    mlp: {
      type: `${prefix}MLP`,
      children: { gate: 'gate_proj', up: 'up_proj', down: 'down_proj', activation: 'act_fn' },
    },
    embedding,
    norm: `${prefix}RMSNorm`,
    activation,
    rotary: `${prefix}RotaryEmbedding`,
    buffers: /rotary_emb\.inv_freq$/,
  };
}
