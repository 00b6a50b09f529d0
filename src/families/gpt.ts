import { add, relu } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { SequenceContext } from '../nn/attention.ts';
import { Embedding } from '../nn/embedding.ts';
import { Dropout, Linear } from '../nn/linear.ts';
import { Activation } from '../nn/mlp.ts';
import { Module, ModuleList, nameParameters, Sequential } from '../nn/module.ts';
import { LayerNorm } from '../nn/norm.ts';
import type { Part } from '../nn/parts.ts';
import { SinusoidalPositions } from '../nn/positions.ts';
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
import { CausalLM, type Family, type Head, type Stages, TINY_INITIALIZER_RANGE } from './family.ts';

/**
 * GPT as the study note's table has it: sinusoidal positions, LayerNorm, multi-head attention, ReLU. The reference with
 * exactly these parts is `ctrl` (Keskar et al. 2019, arXiv:1909.05858), which is also the format it is saved in.
 *
 * Where implementations go wrong: the embedding is scaled by √width; every linear layer has a bias, the tied head too
 * (its own); the norms inside the blocks always have ε = 1e-6 and only the last one reads layer_norm_epsilon.
 */
export interface GptConfig extends CommonConfig {
  readonly n_embd: number;
  readonly dff: number;
  readonly n_layer: number;
  readonly n_head: number;
  readonly n_positions: number;
  readonly layer_norm_epsilon: number;
  readonly resid_pdrop: number;
  readonly embd_pdrop: number;
}

const BLOCK_EPSILON = 1e-6;

class MultiHeadAttention extends Module {
  readonly typeName = 'MultiHeadAttention';
  readonly Wq: Linear;
  readonly Wk: Linear;
  readonly Wv: Linear;
  readonly dense: Linear;

  constructor(private readonly config: GptConfig) {
    super();
    const { n_embd: width, initializer_range: std } = config;
    const square = () => new Linear(width, width, { bias: true, std });
    this.Wq = square();
    this.Wk = square();
    this.Wv = square();
    this.dense = square();
  }

  override describe(): Part {
    return { part: 'attention', ...this.settings(), bias: true };
  }

  forward(x: Tensor, context: SequenceContext): Tensor {
    const q = this.Wq.forward(x);
    const k = this.Wk.forward(x);
    const v = this.Wv.forward(x);
    return this.dense.forward(context.attend(q, k, v, this.settings(), null));
  }

  private settings() {
    const { n_embd: width, n_head: heads } = this.config;
    const headDim = width / heads;
    return { heads, kvHeads: heads, headDim, scale: headDim ** -0.5, window: null, softcap: null };
  }
}

/** Linear, ReLU, Linear. */
class FeedForward extends Sequential<Linear | Activation> {
  private readonly up: Linear;
  private readonly down: Linear;

  constructor({ n_embd: width, dff, initializer_range: std }: GptConfig) {
    const up = new Linear(width, dff, { bias: true, std });
    const down = new Linear(dff, width, { bias: true, std });
    super([up, new Activation('ReLU', 'relu'), down]);
    this.up = up;
    this.down = down;
  }

  override describe(): Part {
    const [hidden, width] = this.up.weight.shape as [number, number];
    return { part: 'mlp', activation: 'relu', gated: false, width, hidden, bias: true };
  }

  forward(x: Tensor): Tensor {
    return this.down.forward(relu(this.up.forward(x)));
  }
}

class EncoderLayer extends Module {
  readonly typeName = 'EncoderLayer';
  readonly multi_head_attention: MultiHeadAttention;
  readonly ffn: FeedForward;
  readonly layernorm1: LayerNorm;
  readonly layernorm2: LayerNorm;
  readonly dropout1: Dropout;
  readonly dropout2: Dropout;

  constructor(config: GptConfig) {
    super();
    this.multi_head_attention = new MultiHeadAttention(config);
    this.ffn = new FeedForward(config);
    this.layernorm1 = new LayerNorm(config.n_embd, BLOCK_EPSILON);
    this.layernorm2 = new LayerNorm(config.n_embd, BLOCK_EPSILON);
    this.dropout1 = new Dropout(config.resid_pdrop);
    this.dropout2 = new Dropout(config.resid_pdrop);
  }

  forward(x: Tensor, context: SequenceContext): Tensor {
    const attended = add(x, this.multi_head_attention.forward(this.layernorm1.forward(x), context));
    return add(attended, this.ffn.forward(this.layernorm2.forward(attended)));
  }
}

class GptModel extends Module {
  readonly typeName = 'CTRLModel';
  readonly w: Embedding;
  readonly dropout: Dropout;
  readonly h: ModuleList<EncoderLayer>;
  readonly layernorm: LayerNorm;
  readonly pos_encoding: SinusoidalPositions;

  constructor(config: GptConfig) {
    super();
    const { n_embd: width } = config;
    this.w = new Embedding(config.vocab_size, width, config.initializer_range, { scale: Math.sqrt(width) });
    this.dropout = new Dropout(config.embd_pdrop);
    this.h = new ModuleList(Array.from({ length: config.n_layer }, () => new EncoderLayer(config)));
    this.layernorm = new LayerNorm(width, config.layer_norm_epsilon);
    this.pos_encoding = new SinusoidalPositions(config.n_positions, width);
  }

  get stages(): Stages {
    return {
      embed: ({ ids, positionIds }) => add(this.w.forward(ids), this.pos_encoding.forward(positionIds)),
      layers: this.h.items.map((layer) => (x, context) => layer.forward(x, context)),
      finish: (x) => this.layernorm.forward(x),
    };
  }
}

export class Gpt extends CausalLM {
  readonly typeName = 'CTRLLMHeadModel';
  readonly transformer: GptModel;
  readonly lm_head: Linear;

  constructor(override readonly config: GptConfig) {
    super();
    this.transformer = new GptModel(config);
    this.lm_head = new Linear(config.n_embd, config.vocab_size, {
      bias: true,
      std: config.initializer_range,
      ...(config.tie_word_embeddings && { tied: this.transformer.w.weight }),
    });
  }

  get maxPositions(): number {
    return this.config.n_positions;
  }

  get head(): Head {
    const { weight, bias } = this.lm_head;
    return { weight, ...(bias && { bias }), softcap: null };
  }

  get stages(): Stages {
    return this.transformer.stages;
  }

  override isBuffer(name: string): boolean {
    return name.endsWith('pos_encoding');
  }
}

function config(
  width: number,
  layers: number,
  heads: number,
  dff: number,
  vocab: number,
  positions: number,
): GptConfig {
  return {
    vocab_size: vocab,
    n_embd: width,
    n_layer: layers,
    n_head: heads,
    dff,
    n_positions: positions,
    layer_norm_epsilon: 1e-6,
    resid_pdrop: 0,
    embd_pdrop: 0,
    tie_word_embeddings: true,
    initializer_range: 0.02,
    bos_token_id: null,
    eos_token_id: [],
    pad_token_id: null,
  };
}

/** Of the class in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'CTRLConfig',
  fields: {
    vocab_size: 246534,
    n_positions: 256,
    n_embd: 1280,
    dff: 8192,
    n_layer: 48,
    n_head: 16,
    layer_norm_epsilon: 1e-6,
  },
  aliases: LAYER_ALIASES,
};

export const gpt: Family<GptConfig> = {
  name: 'gpt',
  title: 'GPT',
  modelType: 'ctrl',
  architecture: 'CTRLLMHeadModel',
  training: {
    data: '4.5M + 36M sentence pairs',
    method: 'next-token prediction',
    source: 'Vaswani et al. 2017, arXiv:1706.03762 (WMT14 English–German and English–French)',
  },
  note: {
    en: 'This column is the decoder of the 2017 Transformer; the published GPT-1 and GPT-2 have learned positions and GELU (see gpt2).',
    ko: '이 열은 2017년 Transformer의 디코더입니다. 실제로 공개된 GPT-1과 GPT-2는 학습된 위치 임베딩과 GELU를 씁니다(gpt2 참고).',
  },
  defaultPreset: 'gpt-base',
  presets: {
    'gpt-base': { config: config(512, 6, 8, 2048, 37000, 512) },
    tiny: { config: { ...config(96, 4, 4, 384, 512, 256), initializer_range: TINY_INITIALIZER_RANGE } },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): GptConfig {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    const read: GptConfig = {
      ...readCommon(reader, true),
      n_embd: reader.count('n_embd'),
      dff: reader.count('dff'),
      n_layer: reader.layers('n_layer'),
      n_head: reader.count('n_head'),
      n_positions: reader.count('n_positions'),
      layer_norm_epsilon: reader.number('layer_norm_epsilon'),
      resid_pdrop: reader.fraction('resid_pdrop', 0.1),
      embd_pdrop: reader.fraction('embd_pdrop', 0.1),
    };
    if (read.n_embd % read.n_head !== 0) reader.fail('n_head', `must divide n_embd (${read.n_embd})`);
    if (read.n_embd % 2 !== 0) reader.fail('n_embd', 'must be even: half of it holds sines, half cosines');
    return read;
  },
  writeConfig: (c) => ({
    architectures: ['CTRLLMHeadModel'],
    model_type: 'ctrl',
    ...writeCommon(c),
    n_embd: c.n_embd,
    dff: c.dff,
    n_layer: c.n_layer,
    n_head: c.n_head,
    n_positions: c.n_positions,
    layer_norm_epsilon: c.layer_norm_epsilon,
    resid_pdrop: c.resid_pdrop,
    embd_pdrop: c.embd_pdrop,
  }),
  build: (c) => nameParameters(new Gpt(c)),
};
