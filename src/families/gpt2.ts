import { add, gelu, slice } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { SequenceContext } from '../nn/attention.ts';
import { Embedding } from '../nn/embedding.ts';
import { Conv1D, Dropout, Linear } from '../nn/linear.ts';
import { Activation } from '../nn/mlp.ts';
import { Module, ModuleList, nameParameters } from '../nn/module.ts';
import { LayerNorm } from '../nn/norm.ts';
import type { Part } from '../nn/parts.ts';
import { LearnedPositions } from '../nn/positions.ts';
import {
  type ClassDefaults,
  type CommonConfig,
  ConfigReader,
  LAYER_ALIASES,
  type RawConfig,
  readCommon,
  type Warn,
  writeCommon,
} from './config.ts';
import {
  CausalLM,
  type Family,
  type Head,
  type Preset,
  type Stages,
  TINY_INITIALIZER_RANGE,
} from './family.ts';

/**
 * GPT-2 (Radford et al. 2019): learned positions, LayerNorm before each half of a block, GELU in its tanh form.
 *
 * Where implementations go wrong: linear weights are stored `[in, out]` (Conv1D); queries, keys and values come from
 * one product, in thirds; `attn.bias` and `attn.masked_bias` in files are buffers; files on the hub leave out the
 * `transformer.` prefix.
 */
export interface Gpt2Config extends CommonConfig {
  readonly n_embd: number;
  readonly n_layer: number;
  readonly n_head: number;
  readonly n_positions: number;
  readonly n_inner: number | null;
  readonly layer_norm_epsilon: number;
  readonly resid_pdrop: number;
  readonly embd_pdrop: number;
  readonly attn_pdrop: number;
}

class Gpt2Attention extends Module {
  readonly typeName = 'GPT2Attention';
  readonly c_attn: Conv1D;
  readonly c_proj: Conv1D;
  readonly attn_dropout: Dropout;
  readonly resid_dropout: Dropout;

  constructor(private readonly config: Gpt2Config) {
    super();
    const { n_embd: width, initializer_range: std } = config;
    this.c_attn = new Conv1D(width, 3 * width, std);
    this.c_proj = new Conv1D(width, width, std / Math.sqrt(2 * config.n_layer));
    this.attn_dropout = new Dropout(config.attn_pdrop);
    this.resid_dropout = new Dropout(config.resid_pdrop);
  }

  override describe(): Part {
    return { part: 'attention', ...this.settings(), bias: true };
  }

  forward(x: Tensor, context: SequenceContext): Tensor {
    const fused = this.c_attn.forward(x);
    const width = this.config.n_embd;
    const third = (i: number) => slice(fused, fused.rank - 1, i * width, (i + 1) * width);
    return this.c_proj.forward(context.attend(third(0), third(1), third(2), this.settings(), null));
  }

  private settings() {
    const { n_embd: width, n_head: heads } = this.config;
    const headDim = width / heads;
    return { heads, kvHeads: heads, headDim, scale: headDim ** -0.5, window: null, softcap: null };
  }
}

class Gpt2Mlp extends Module {
  readonly typeName = 'GPT2MLP';
  readonly c_fc: Conv1D;
  readonly c_proj: Conv1D;
  readonly act: Activation;
  readonly dropout: Dropout;

  constructor(config: Gpt2Config) {
    super();
    const { n_embd: width, initializer_range: std } = config;
    const hidden = config.n_inner ?? 4 * width;
    this.c_fc = new Conv1D(width, hidden, std);
    this.c_proj = new Conv1D(hidden, width, std / Math.sqrt(2 * config.n_layer));
    this.act = new Activation('NewGELUActivation', 'gelu');
    this.dropout = new Dropout(config.resid_pdrop);
  }

  override describe(): Part {
    const [width, hidden] = this.c_fc.weight.shape as [number, number];
    return { part: 'mlp', activation: 'gelu', gated: false, width, hidden, bias: true };
  }

  forward(x: Tensor): Tensor {
    return this.c_proj.forward(gelu(this.c_fc.forward(x)));
  }
}

class Gpt2Block extends Module {
  readonly typeName = 'GPT2Block';
  readonly ln_1: LayerNorm;
  readonly attn: Gpt2Attention;
  readonly ln_2: LayerNorm;
  readonly mlp: Gpt2Mlp;

  constructor(config: Gpt2Config) {
    super();
    this.ln_1 = new LayerNorm(config.n_embd, config.layer_norm_epsilon);
    this.attn = new Gpt2Attention(config);
    this.ln_2 = new LayerNorm(config.n_embd, config.layer_norm_epsilon);
    this.mlp = new Gpt2Mlp(config);
  }

  forward(x: Tensor, context: SequenceContext): Tensor {
    const attended = add(x, this.attn.forward(this.ln_1.forward(x), context));
    return add(attended, this.mlp.forward(this.ln_2.forward(attended)));
  }
}

class Gpt2Model extends Module {
  readonly typeName = 'GPT2Model';
  readonly wte: Embedding;
  readonly wpe: LearnedPositions;
  readonly drop: Dropout;
  readonly h: ModuleList<Gpt2Block>;
  readonly ln_f: LayerNorm;

  constructor(config: Gpt2Config) {
    super();
    const { n_embd: width, initializer_range: std } = config;
    this.wte = new Embedding(config.vocab_size, width, std);
    this.wpe = new LearnedPositions(config.n_positions, width, std);
    this.drop = new Dropout(config.embd_pdrop);
    this.h = new ModuleList(Array.from({ length: config.n_layer }, () => new Gpt2Block(config)));
    this.ln_f = new LayerNorm(width, config.layer_norm_epsilon);
  }

  get stages(): Stages {
    return {
      embed: ({ ids, positionIds }) => add(this.wte.forward(ids), this.wpe.forward(positionIds)),
      layers: this.h.items.map((block) => (x, context) => block.forward(x, context)),
      finish: (x) => this.ln_f.forward(x),
    };
  }
}

export class Gpt2 extends CausalLM {
  readonly typeName = 'GPT2LMHeadModel';
  readonly transformer: Gpt2Model;
  readonly lm_head: Linear;

  constructor(override readonly config: Gpt2Config) {
    super();
    this.transformer = new Gpt2Model(config);
    this.lm_head = new Linear(config.n_embd, config.vocab_size, {
      bias: false,
      std: config.initializer_range,
      ...(config.tie_word_embeddings && { tied: this.transformer.wte.weight }),
    });
  }

  get maxPositions(): number {
    return this.config.n_positions;
  }

  get head(): Head {
    return { weight: this.lm_head.weight, softcap: null };
  }

  get stages(): Stages {
    return this.transformer.stages;
  }

  override isBuffer(name: string): boolean {
    return /\.attn\.(masked_)?bias$/.test(name);
  }
}

function config(width: number, layers: number, heads: number): Gpt2Config {
  return {
    vocab_size: 50257,
    n_embd: width,
    n_layer: layers,
    n_head: heads,
    n_positions: 1024,
    n_inner: null,
    layer_norm_epsilon: 1e-5,
    resid_pdrop: 0.1,
    embd_pdrop: 0.1,
    attn_pdrop: 0.1,
    tie_word_embeddings: true,
    initializer_range: 0.02,
    bos_token_id: 50256,
    eos_token_id: [50256],
    pad_token_id: null,
  };
}

function published(width: number, layers: number, heads: number, hub: string): Preset<Gpt2Config> {
  return { config: config(width, layers, heads), training, hub };
}

const training = {
  data: '40 GB of text (WebText)',
  method: 'next-token prediction',
  source: 'Radford et al. 2019, Language Models are Unsupervised Multitask Learners',
};

/** Of the class in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'GPT2Config',
  fields: {
    vocab_size: 50257,
    n_positions: 1024,
    n_embd: 768,
    n_layer: 12,
    n_head: 12,
    layer_norm_epsilon: 1e-5,
    bos_token_id: 50256,
    eos_token_id: 50256,
  },
  aliases: LAYER_ALIASES,
};

export const gpt2: Family<Gpt2Config> = {
  name: 'gpt2',
  title: 'GPT-2',
  modelType: 'gpt2',
  architecture: 'GPT2LMHeadModel',
  training,
  defaultPreset: 'gpt2',
  presets: {
    gpt2: published(768, 12, 12, 'openai-community/gpt2'),
    'gpt2-medium': published(1024, 24, 16, 'openai-community/gpt2-medium'),
    'gpt2-large': published(1280, 36, 20, 'openai-community/gpt2-large'),
    'gpt2-xl': published(1600, 48, 25, 'openai-community/gpt2-xl'),
    tiny: {
      config: {
        ...config(96, 4, 4),
        vocab_size: 512,
        n_positions: 256,
        n_inner: 368,
        initializer_range: TINY_INITIALIZER_RANGE,
        resid_pdrop: 0,
        embd_pdrop: 0,
        attn_pdrop: 0,
        bos_token_id: null,
        eos_token_id: [],
      },
    },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): Gpt2Config {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    reader.choice('activation_function', { gelu_new: true, gelu_pytorch_tanh: true }, 'gelu_new');
    reader.mustBe('scale_attn_weights', [true]);
    reader.mustBe('scale_attn_by_inverse_layer_idx', [false]);
    reader.mustBe('add_cross_attention', [false]);
    const read: Gpt2Config = {
      ...readCommon(reader, true),
      n_embd: reader.count('n_embd'),
      n_layer: reader.layers('n_layer'),
      n_head: reader.count('n_head'),
      n_positions: reader.count('n_positions'),
      n_inner: reader.has('n_inner') ? reader.count('n_inner') : null,
      layer_norm_epsilon: reader.number('layer_norm_epsilon'),
      resid_pdrop: reader.fraction('resid_pdrop', 0.1),
      embd_pdrop: reader.fraction('embd_pdrop', 0.1),
      attn_pdrop: reader.fraction('attn_pdrop', 0.1),
    };
    if (read.n_embd % read.n_head !== 0) reader.fail('n_head', `must divide n_embd (${read.n_embd})`);
    return read;
  },
  writeConfig: (c) => ({
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    ...writeCommon(c),
    activation_function: 'gelu_new',
    n_embd: c.n_embd,
    n_layer: c.n_layer,
    n_head: c.n_head,
    n_positions: c.n_positions,
    n_ctx: c.n_positions,
    n_inner: c.n_inner,
    layer_norm_epsilon: c.layer_norm_epsilon,
    resid_pdrop: c.resid_pdrop,
    embd_pdrop: c.embd_pdrop,
    attn_pdrop: c.attn_pdrop,
  }),
  build: (c) => nameParameters(new Gpt2(c)),
};
