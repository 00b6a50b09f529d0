import { type GgufForm, ggufTensors } from './common/gguf.ts';
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
import { type Preset, TINY_INITIALIZER_RANGE } from './family.ts';

/**
 * GPT-2 (Radford et al. 2019): learned positions, LayerNorm before attention and MLP, GELU in its tanh form.
 *
 * Where implementations go wrong: linear weights are stored `[in, out]` (Conv1D); one projection gives queries, keys
 * and values, a third each; `attn.bias` and `attn.masked_bias` in files are buffers; files on the hub leave out the
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

const names: DecoderNames = {
  model: { type: 'GPT2LMHeadModel', children: { body: 'transformer', head: 'lm_head' } },
  body: {
    type: 'GPT2Model',
    children: { embedding: 'wte', positions: 'wpe', dropout: 'drop', layers: 'h', norm: 'ln_f' },
  },
  layer: {
    type: 'GPT2Block',
    children: { attentionNorm: 'ln_1', attention: 'attn', mlpNorm: 'ln_2', mlp: 'mlp' },
  },
  attention: {
    type: 'GPT2Attention',
    children: { fused: 'c_attn', output: 'c_proj', dropout: 'attn_dropout', outputDropout: 'resid_dropout' },
  },
  mlp: { type: 'GPT2MLP', children: { up: 'c_fc', down: 'c_proj', activation: 'act', dropout: 'dropout' } },
  embedding: 'Embedding',
  norm: 'RMSNorm',
  activation: 'NewGELUActivation',
  rotary: 'RotaryEmbedding',
  layout: 'in, out',
  buffers: /\.attn\.(masked_)?bias$/,
};

function parts(c: Gpt2Config): DecoderParts {
  const norm = { kind: 'LayerNorm', epsilon: c.layer_norm_epsilon, weightOffset: 0 } as const;
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
    mlp: { activation: 'gelu', gated: false, hidden: c.n_inner ?? 4 * c.n_embd, bias: true },
  } as const;
  return {
    vocabSize: c.vocab_size,
    width: c.n_embd,
    maxPositions: c.n_positions,
    positions: 'learned',
    layers: Array.from({ length: c.n_layer }, () => layer),
    norm,
    head: { tied: c.tie_word_embeddings, bias: false, softcap: null },
    initial: { std: c.initializer_range, outputStd: c.initializer_range / Math.sqrt(2 * c.n_layer) },
    dropout: { embedding: c.embd_pdrop, attention: c.attn_pdrop, residual: c.resid_pdrop },
  };
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

/** The class's in transformers 5.18. */
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

const ggufForm: GgufForm<Gpt2Config> = {
  architecture: 'gpt2',
  tensors: [
    ...ggufTensors([
      ['transformer.wte', 'token_embd'],
      ['transformer.wpe', 'position_embd'],
      ['lm_head', 'output'],
    ]),
    ...ggufTensors(
      [
        ['transformer.ln_f', 'output_norm'],
        ['transformer.h.{n}.ln_1', 'blk.{n}.attn_norm'],
        ['transformer.h.{n}.attn.c_attn', 'blk.{n}.attn_qkv', 'transposed'],
        ['transformer.h.{n}.attn.c_proj', 'blk.{n}.attn_output', 'transposed'],
        ['transformer.h.{n}.ln_2', 'blk.{n}.ffn_norm'],
        ['transformer.h.{n}.mlp.c_fc', 'blk.{n}.ffn_up', 'transposed'],
        ['transformer.h.{n}.mlp.c_proj', 'blk.{n}.ffn_down', 'transposed'],
      ],
      ['weight', 'bias'],
    ),
  ],
  write: (c) => [
    ['context_length', 'u32', c.n_positions],
    ['embedding_length', 'u32', c.n_embd],
    ['feed_forward_length', 'u32', c.n_inner ?? 4 * c.n_embd],
    ['block_count', 'u32', c.n_layer],
    ['attention.head_count', 'u32', c.n_head],
    ['attention.layer_norm_epsilon', 'f32', c.layer_norm_epsilon],
  ],
  read: (file) => ({
    activation_function: 'gelu_new',
    n_embd: file.count('embedding_length'),
    n_layer: file.count('block_count'),
    n_head: file.sameCount('attention.head_count'),
    n_positions: file.count('context_length'),
    n_inner: file.sameCount('feed_forward_length'),
    layer_norm_epsilon: file.number('attention.layer_norm_epsilon'),
    resid_pdrop: 0,
    embd_pdrop: 0,
    attn_pdrop: 0,
  }),
};

export const gpt2 = defineFamily<Gpt2Config>({
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
  withLayers: (c, layers) => ({ ...c, n_layer: layers.length }),
  parts,
  names,
  gguf: ggufForm,
  transformersJs: true,
});
