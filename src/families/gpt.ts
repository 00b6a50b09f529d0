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
import { type DecoderNames, type DecoderParts, defineFamily } from './decoder.ts';
import { TINY_INITIALIZER_RANGE } from './family.ts';

/**
 * GPT as in the study note's table: sinusoidal positions, LayerNorm, multi-head attention, ReLU. The reference with
 * exactly these parts is `ctrl` (Keskar et al. 2019, arXiv:1909.05858), which is also the format it is saved in.
 *
 * Where implementations go wrong: the embedding is scaled by √width; every linear layer has a bias, including the
 * tied head (a separate one); the norms inside the blocks always have ε = 1e-6 and only the final norm uses
 * layer_norm_epsilon.
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

const names: DecoderNames = {
  model: { type: 'CTRLLMHeadModel', children: { body: 'transformer', head: 'lm_head' } },
  body: {
    type: 'CTRLModel',
    children: {
      embedding: 'w',
      dropout: 'dropout',
      layers: 'h',
      norm: 'layernorm',
      positions: 'pos_encoding',
    },
  },
  layer: {
    type: 'EncoderLayer',
    children: {
      attention: 'multi_head_attention',
      mlp: 'ffn',
      attentionNorm: 'layernorm1',
      mlpNorm: 'layernorm2',
      dropout: 'dropout1',
      dropout2: 'dropout2',
    },
  },
  attention: {
    type: 'MultiHeadAttention',
    children: { query: 'Wq', key: 'Wk', value: 'Wv', output: 'dense' },
  },
  mlp: { type: 'Sequential', children: { up: '0', activation: '1', down: '2' } },
  embedding: 'Embedding',
  norm: 'RMSNorm',
  activation: 'ReLU',
  rotary: 'RotaryEmbedding',
  buffers: /pos_encoding$/,
};

const BLOCK_EPSILON = 1e-6;

function parts(c: GptConfig): DecoderParts {
  const norm = { kind: 'LayerNorm', epsilon: BLOCK_EPSILON, weightOffset: 0 } as const;
  const headDim = c.n_embd / c.n_head;
  const layer = {
    norms: { attentionNorm: norm, mlpNorm: norm },
    attention: {
      heads: c.n_head,
      kvHeads: c.n_head,
      headDim,
      scale: headDim ** -0.5,
      window: null,
      softcap: null,
      bias: true,
      outputBias: true,
    },
    rope: null,
    mlp: { activation: 'relu', gated: false, hidden: c.dff, bias: true },
  } as const;
  return {
    vocabSize: c.vocab_size,
    width: c.n_embd,
    maxPositions: c.n_positions,
    embeddingScale: Math.sqrt(c.n_embd),
    positions: 'sinusoidal',
    layers: Array.from({ length: c.n_layer }, () => layer),
    norm: { ...norm, epsilon: c.layer_norm_epsilon },
    head: { tied: c.tie_word_embeddings, bias: true, softcap: null },
    initial: { std: c.initializer_range },
    dropout: { embedding: c.embd_pdrop, residual: c.resid_pdrop },
  };
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

/** The class's in transformers 5.18. */
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

export const gpt = defineFamily<GptConfig>({
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
  withLayers: (c, layers) => ({ ...c, n_layer: layers.length }),
  parts,
  names,
  gguf: { none: 'none of its architectures has sinusoidal positions' },
  transformersJs: false,
});
