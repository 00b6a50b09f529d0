import { add } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { SequenceContext } from '../nn/attention.ts';
import { Embedding } from '../nn/embedding.ts';
import { GatedMlp } from '../nn/gated-mlp.ts';
import { GroupedQueryAttention } from '../nn/grouped-attention.ts';
import { Linear } from '../nn/linear.ts';
import { Activation } from '../nn/mlp.ts';
import { Module, ModuleList, nameParameters } from '../nn/module.ts';
import { RMSNorm } from '../nn/norm.ts';
import { RotaryEmbedding } from '../nn/positions.ts';
import {
  type CommonConfig,
  ConfigReader,
  type RawConfig,
  type RopeConfig,
  readCommon,
  readRope,
  writeCommon,
  writeRope,
} from './config.ts';
import { CausalLM, type Family, type Head, type Preset, TINY_INITIALIZER_RANGE } from './family.ts';

/**
 * Gemma (Gemma Team 2024, arXiv:2403.08295): RoPE, RMSNorm, GeGLU; multi-head attention at 7B, multi-query at 2B.
 *
 * Where implementations go wrong: RMSNorm scales by 1 + weight; the embedding is scaled by √width, the tied head is
 * not; head_dim is a field of its own (16 × 256 on a width of 3072); `hidden_act: "gelu"` in old files means the tanh form.
 */
export interface GemmaConfig extends CommonConfig, RopeConfig {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly attention_bias: boolean;
}

class GemmaDecoderLayer extends Module {
  readonly typeName = 'GemmaDecoderLayer';
  readonly self_attn: GroupedQueryAttention;
  readonly mlp: GatedMlp;
  readonly input_layernorm: RMSNorm;
  readonly post_attention_layernorm: RMSNorm;

  constructor(config: GemmaConfig, rope: RotaryEmbedding) {
    super();
    const { hidden_size: width, initializer_range: std, rms_norm_eps: epsilon } = config;
    const settings = {
      heads: config.num_attention_heads,
      kvHeads: config.num_key_value_heads,
      headDim: config.head_dim,
      scale: config.head_dim ** -0.5,
      window: null,
      softcap: null,
    };
    this.self_attn = new GroupedQueryAttention('GemmaAttention', width, settings, rope, {
      bias: config.attention_bias,
      std,
    });
    const gelu = new Activation('GELUTanh', 'gelu');
    this.mlp = new GatedMlp('GemmaMLP', width, config.intermediate_size, gelu, { bias: false, std });
    this.input_layernorm = new RMSNorm('GemmaRMSNorm', width, epsilon, 1);
    this.post_attention_layernorm = new RMSNorm('GemmaRMSNorm', width, epsilon, 1);
  }

  forward(x: Tensor, context: SequenceContext): Tensor {
    const attended = add(x, this.self_attn.forward(this.input_layernorm.forward(x), context));
    return add(attended, this.mlp.forward(this.post_attention_layernorm.forward(attended)));
  }
}

class GemmaModel extends Module {
  readonly typeName = 'GemmaModel';
  readonly embed_tokens: Embedding;
  readonly layers: ModuleList<GemmaDecoderLayer>;
  readonly norm: RMSNorm;
  readonly rotary_emb: RotaryEmbedding;

  constructor(config: GemmaConfig) {
    super();
    const { rope_theta, rope_scaling, hidden_size: width } = config;
    const rope = new RotaryEmbedding('GemmaRotaryEmbedding', config.head_dim, rope_theta, rope_scaling);
    this.embed_tokens = new Embedding(config.vocab_size, width, config.initializer_range, {
      typeName: 'GemmaTextScaledWordEmbedding',
      paddingId: config.pad_token_id ?? undefined,
      scale: Math.sqrt(width),
    });
    this.layers = new ModuleList(
      Array.from({ length: config.num_hidden_layers }, () => new GemmaDecoderLayer(config, rope)),
    );
    this.norm = new RMSNorm('GemmaRMSNorm', width, config.rms_norm_eps, 1);
    this.rotary_emb = rope;
  }

  forward(context: SequenceContext): Tensor {
    let x = this.embed_tokens.forward(context.ids);
    for (const layer of this.layers.items) x = layer.forward(x, context);
    return this.norm.forward(x);
  }
}

export class Gemma extends CausalLM {
  readonly typeName = 'GemmaForCausalLM';
  readonly model: GemmaModel;
  readonly lm_head: Linear;

  constructor(override readonly config: GemmaConfig) {
    super();
    this.model = new GemmaModel(config);
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
    return { weight: this.lm_head.weight, softcap: null };
  }

  hiddenStates(context: SequenceContext): Tensor {
    return this.model.forward(context);
  }

  override isBuffer(name: string): boolean {
    return name.endsWith('rotary_emb.inv_freq');
  }
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

export const gemma: Family<GemmaConfig> = {
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
  readConfig(raw: RawConfig, file: string): GemmaConfig {
    const reader = new ConfigReader(raw, file);
    const tanhForms = { gelu_pytorch_tanh: true, gelu: true, gelu_new: true, gelu_fast: true };
    reader.choice(
      reader.has('hidden_activation') ? 'hidden_activation' : 'hidden_act',
      tanhForms,
      'gelu_pytorch_tanh',
    );
    reader.mustBe('use_bidirectional_attention', [false]);
    const heads = reader.count('num_attention_heads');
    const read: GemmaConfig = {
      ...readCommon(reader, true),
      ...readRope(reader),
      hidden_size: reader.count('hidden_size'),
      intermediate_size: reader.count('intermediate_size'),
      num_hidden_layers: reader.layers('num_hidden_layers'),
      num_attention_heads: heads,
      num_key_value_heads: reader.count('num_key_value_heads', heads),
      head_dim: reader.count('head_dim'),
      max_position_embeddings: reader.count('max_position_embeddings'),
      rms_norm_eps: reader.number('rms_norm_eps'),
      attention_bias: reader.flag('attention_bias', false),
    };
    if (heads % read.num_key_value_heads !== 0) {
      reader.fail('num_key_value_heads', `must divide num_attention_heads (${heads})`);
    }
    if (read.head_dim % 2 !== 0) reader.fail('head_dim', 'must be even: RoPE turns pairs');
    return read;
  },
  writeConfig: (c) => ({
    architectures: ['GemmaForCausalLM'],
    model_type: 'gemma',
    ...writeCommon(c),
    ...writeRope(c),
    hidden_act: 'gelu_pytorch_tanh',
    hidden_activation: 'gelu_pytorch_tanh',
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
  }),
  build: (c) => nameParameters(new Gemma(c)),
};
