import type { Tensor } from '../graph/tensor.ts';
import type { SequenceContext } from '../nn/attention.ts';
import { Embedding } from '../nn/embedding.ts';
import { Linear } from '../nn/linear.ts';
import { Module, ModuleList } from '../nn/module.ts';
import type { RMSNorm } from '../nn/norm.ts';
import { RotaryEmbedding } from '../nn/positions.ts';
import { type CommonConfig, type ConfigReader, readCommon, writeCommon } from './config.ts';
import { CausalLM, type Head, type Stages } from './family.ts';
import { type RopeConfig, readRope, writeRope } from './rope-config.ts';

/**
 * What Gemma, Gemma 2 and Llama have in common around their layers: fields of the config, an embedding, one rotary
 * table for all layers, a last norm, a head. What makes each of them itself is in its own file.
 */
export interface RotaryDecoderConfig extends CommonConfig, RopeConfig {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  /** A field of its own: not always hidden_size / num_attention_heads. */
  readonly head_dim: number;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly attention_bias: boolean;
}

/** @param defaults what a config.json that leaves them out means in this family. */
export function readRotaryDecoder(
  reader: ConfigReader,
  defaults: { readonly tied: boolean; readonly dividesHeads: boolean },
): RotaryDecoderConfig {
  const width = reader.count('hidden_size');
  const heads = reader.count('num_attention_heads');
  if (defaults.dividesHeads && !reader.has('head_dim') && width % heads !== 0) {
    reader.fail('num_attention_heads', `must divide hidden_size (${width}) when there is no head_dim`);
  }
  const read = {
    ...readCommon(reader, defaults.tied),
    ...readRope(reader),
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
  if (read.head_dim % 2 !== 0) reader.fail('head_dim', 'must be even: RoPE turns pairs');
  return read;
}

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

/** A layer of such a model: `[…, width]` → `[…, width]`. */
export abstract class DecoderLayer extends Module {
  abstract forward(x: Tensor, context: SequenceContext): Tensor;
}

/** What a family fills the common frame with. */
export interface RotaryParts {
  /** Prefix of the class names that PyTorch prints. */
  readonly prefix: string;
  /** The embedding's class name and what it multiplies its rows by. */
  readonly embedding: { readonly typeName?: string; readonly scale?: number };
  readonly layer: (index: number, rope: RotaryEmbedding) => DecoderLayer;
  readonly norm: () => RMSNorm;
  /** The final logits' soft-cap. */
  readonly softcap: number | null;
}

class RotaryModel extends Module {
  readonly typeName: string;
  readonly embed_tokens: Embedding;
  readonly layers: ModuleList<DecoderLayer>;
  readonly norm: RMSNorm;
  readonly rotary_emb: RotaryEmbedding;

  constructor(config: RotaryDecoderConfig, { prefix, embedding, layer, norm }: RotaryParts) {
    super();
    this.typeName = `${prefix}Model`;
    const { rope_theta, rope_scaling } = config;
    const rope = new RotaryEmbedding(`${prefix}RotaryEmbedding`, config.head_dim, rope_theta, rope_scaling);
    this.embed_tokens = new Embedding(config.vocab_size, config.hidden_size, config.initializer_range, {
      ...embedding,
      paddingId: config.pad_token_id ?? undefined,
    });
    this.layers = new ModuleList(Array.from({ length: config.num_hidden_layers }, (_, i) => layer(i, rope)));
    this.norm = norm();
    this.rotary_emb = rope;
  }

  get stages(): Stages {
    return {
      embed: ({ ids }) => this.embed_tokens.forward(ids),
      layers: this.layers.items.map((layer) => (x, context) => layer.forward(x, context)),
      finish: (x) => this.norm.forward(x),
    };
  }
}

export class RotaryCausalLM extends CausalLM {
  readonly typeName: string;
  readonly model: RotaryModel;
  readonly lm_head: Linear;
  private readonly logitCap: number | null;

  constructor(
    override readonly config: RotaryDecoderConfig,
    parts: RotaryParts,
  ) {
    super();
    this.typeName = `${parts.prefix}ForCausalLM`;
    this.logitCap = parts.softcap;
    this.model = new RotaryModel(config, parts);
    this.lm_head = new Linear(config.hidden_size, config.vocab_size, {
      bias: false,
      std: config.initializer_range,
      ...(config.tie_word_embeddings && { tied: this.model.embed_tokens.weight }),
    });
  }

  get maxPositions(): number {
    return this.config.max_position_embeddings;
  }

  get head(): Head {
    return { weight: this.lm_head.weight, softcap: this.logitCap };
  }

  get stages(): Stages {
    return this.model.stages;
  }

  override isBuffer(name: string): boolean {
    return name.endsWith('rotary_emb.inv_freq');
  }
}
