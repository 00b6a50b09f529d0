import { families } from 'ropewalk';

/**
 * A family of somebody else's, whole in one file: rotary positions, one key head for all queries, an ungated MLP with
 * SiLU between LayerNorms that stand before and behind each branch, and names of its own everywhere.
 */
export interface ToyConfig extends families.CommonConfig {
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  readonly context: number;
  readonly epsilon: number;
}

const names: families.DecoderNames = {
  model: { type: 'ToyModel', children: { body: 'trunk', head: 'out' } },
  body: { type: 'ToyTrunk', children: { embedding: 'words', layers: 'blocks', norm: 'last' } },
  layer: {
    type: 'ToyBlock',
    children: {
      attentionNorm: 'before_look',
      attention: 'look',
      attentionPostNorm: 'after_look',
      mlpNorm: 'before_think',
      mlp: 'think',
      mlpPostNorm: 'after_think',
    },
  },
  attention: { type: 'ToyLook', children: { query: 'q', key: 'k', value: 'v', output: 'o' } },
  mlp: { type: 'ToyThink', children: { up: 'wide', down: 'narrow', activation: 'act' } },
  embedding: 'ToyWords',
  norm: 'ToyNorm',
  activation: 'ToyAct',
  rotary: 'ToyTurn',
};

function parts(c: ToyConfig): families.DecoderParts {
  const norm = { kind: 'LayerNorm', epsilon: c.epsilon, weightOffset: 0 } as const;
  const headDim = c.width / c.heads;
  const layer = {
    norms: { attentionNorm: norm, attentionPostNorm: norm, mlpNorm: norm, mlpPostNorm: norm },
    attention: {
      heads: c.heads,
      kvHeads: 1,
      headDim,
      scale: headDim ** -0.5,
      window: null,
      softcap: null,
      bias: false,
      outputBias: false,
    },
    rope: { theta: 10000, scaling: null },
    mlp: { activation: 'silu', gated: false, hidden: 4 * c.width, bias: false },
  } as const;
  return {
    vocabSize: c.vocab_size,
    width: c.width,
    maxPositions: c.context,
    positions: null,
    layers: Array.from({ length: c.depth }, () => layer),
    norm,
    head: { tied: c.tie_word_embeddings, bias: false, softcap: null },
    initial: { std: c.initializer_range },
  };
}

const training = { data: 'none', method: 'next-token prediction', source: 'invented for a test' };

export const toy = families.defineFamily<ToyConfig>({
  name: 'toy',
  title: 'Toy',
  modelType: 'toy',
  architecture: 'ToyForCausalLM',
  training,
  defaultPreset: 'toy-small',
  presets: {
    'toy-small': {
      training,
      config: {
        ...{ vocab_size: 300, width: 32, depth: 2, heads: 4, context: 64, epsilon: 1e-5 },
        ...{ tie_word_embeddings: true, initializer_range: 0.07 },
        ...{ bos_token_id: null, eos_token_id: [], pad_token_id: null },
      },
    },
  },
  readConfig(raw, file, warn) {
    const reader = new families.ConfigReader(raw, file, undefined, warn);
    const config = {
      ...families.readCommon(reader, true),
      width: reader.count('width'),
      depth: reader.layers('depth'),
      heads: reader.count('heads'),
      context: reader.count('context'),
      epsilon: reader.number('epsilon'),
    };
    if (config.width % (2 * config.heads) !== 0) reader.fail('heads', 'must divide half of width');
    return config;
  },
  writeConfig: ({ width, depth, heads, context, epsilon, ...common }) => ({
    ...families.writeCommon(common),
    ...{ width, depth, heads, context, epsilon },
  }),
  withLayers: (config, layers) => ({ ...config, depth: layers.length }),
  parts,
  names,
  gguf: {
    // No program but Ropewalk knows it: the file says how it is to be read by whoever has the family.
    architecture: 'toy',
    tensors: [
      ...families.ggufTensors([
        ['trunk.words', 'token_embd'],
        ['out', 'output'],
        ['trunk.blocks.{n}.look.q', 'blk.{n}.attn_q'],
        ['trunk.blocks.{n}.look.k', 'blk.{n}.attn_k'],
        ['trunk.blocks.{n}.look.v', 'blk.{n}.attn_v'],
        ['trunk.blocks.{n}.look.o', 'blk.{n}.attn_output'],
        ['trunk.blocks.{n}.think.wide', 'blk.{n}.ffn_up'],
        ['trunk.blocks.{n}.think.narrow', 'blk.{n}.ffn_down'],
      ]),
      ...families.ggufTensors(
        [
          ['trunk.last', 'output_norm'],
          ['trunk.blocks.{n}.before_look', 'blk.{n}.attn_norm'],
          ['trunk.blocks.{n}.after_look', 'blk.{n}.post_attention_norm'],
          ['trunk.blocks.{n}.before_think', 'blk.{n}.ffn_norm'],
          ['trunk.blocks.{n}.after_think', 'blk.{n}.post_ffw_norm'],
        ],
        ['weight', 'bias'],
      ),
    ],
    write: (c) => [
      ['context_length', 'u32', c.context],
      ['embedding_length', 'u32', c.width],
      ['block_count', 'u32', c.depth],
      ['attention.head_count', 'u32', c.heads],
      ['attention.layer_norm_epsilon', 'f32', c.epsilon],
    ],
    read: (file) => ({
      width: file.count('embedding_length'),
      depth: file.count('block_count'),
      heads: file.sameCount('attention.head_count'),
      context: file.count('context_length'),
      epsilon: file.number('attention.layer_norm_epsilon'),
    }),
  },
  transformersJs: false,
});
