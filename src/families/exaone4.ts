import { type LayerType, layerTypes, readLayerTypes, withTypedLayers } from './common/layer-types.ts';
import {
  type RotaryDecoderConfig,
  readRotaryDecoder,
  rotaryLayer,
  rotaryNames,
  rotaryParts,
  writeRotaryDecoder,
} from './common/rotary-decoder.ts';
import { rotaryGguf } from './common/rotary-gguf.ts';
import { type ClassDefaults, ConfigReader, type RawConfig, type Warn } from './config.ts';
import { type DecoderParts, defineFamily } from './decoder.ts';
import { type Preset, TINY_INITIALIZER_RANGE } from './family.ts';

/**
 * EXAONE 4 (LG AI Research 2025, arXiv:2507.11407): norms stand behind attention and MLP alone; at 32B three local layers for
 * each global one, and the global ones have no positions.
 *
 * Where implementations go wrong: x + norm(attention(x)), with nothing before the projections; where there are windows,
 * only local layers rotate, and where there are none, all do; queries and keys are normalized before the rotation.
 */
export interface Exaone4Config extends RotaryDecoderConfig {
  readonly sliding_window: number | null;
  readonly layer_types: readonly LayerType[];
}

const names = rotaryNames('Exaone4', {
  activation: 'SiLUActivation',
  norms: {
    attentionPostNorm: 'post_attention_layernorm',
    mlpPostNorm: 'post_feedforward_layernorm',
  },
});

function parts(c: Exaone4Config): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 0 } as const;
  return rotaryParts(c, norm, (index, rope) => {
    const layer = rotaryLayer(c, norm, 'silu', rope);
    const local = c.layer_types[index] === 'sliding_attention';
    return {
      ...layer,
      norms: { attentionPostNorm: norm, mlpPostNorm: norm },
      attention: { ...layer.attention, headNorm: norm, window: local ? c.sliding_window : null },
      rope: c.sliding_window === null || local ? rope : null,
    };
  });
}

const every = (count: number) => (index: number) => (index + 1) % count !== 0;

const method = 'next-token prediction';
const source = 'LG AI Research 2025, arXiv:2507.11407';

/** The 1.2B model. */
const small: Exaone4Config = {
  vocab_size: 102400,
  hidden_size: 2048,
  intermediate_size: 4096,
  num_hidden_layers: 30,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 64,
  max_position_embeddings: 65536,
  rms_norm_eps: 1e-5,
  rope_theta: 1e6,
  rope_scaling: {
    rope_type: 'llama3',
    factor: 16,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  },
  attention_bias: false,
  sliding_window: null,
  layer_types: layerTypes(30, () => false),
  tie_word_embeddings: true,
  initializer_range: 0.02,
  bos_token_id: 1,
  eos_token_id: [361],
  pad_token_id: 0,
};

/** The 32B model: three local layers, then a global one without positions. */
const large: Exaone4Config = {
  ...small,
  hidden_size: 5120,
  intermediate_size: 27392,
  num_hidden_layers: 64,
  num_attention_heads: 40,
  head_dim: 128,
  max_position_embeddings: 131072,
  sliding_window: 4096,
  layer_types: layerTypes(64, every(4)),
  tie_word_embeddings: false,
};

const published = (config: Exaone4Config, data: string, size: string): Preset<Exaone4Config> => ({
  config,
  training: { data, method, source },
  hub: `LGAI-EXAONE/EXAONE-4.0-${size}`,
});

/** Of the class in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'Exaone4Config',
  fields: {
    vocab_size: 102400,
    hidden_size: 4096,
    intermediate_size: 16384,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    bos_token_id: 0,
    eos_token_id: 2,
  },
};

export const exaone4 = defineFamily<Exaone4Config>({
  name: 'exaone4',
  title: 'EXAONE 4',
  modelType: 'exaone4',
  architecture: 'Exaone4ForCausalLM',
  training: { data: '12T tokens (1.2B), 14T (32B)', method, source },
  defaultPreset: 'exaone-4.0-32b',
  presets: {
    'exaone-4.0-1.2b': published(small, '12T tokens', '1.2B'),
    'exaone-4.0-32b': published(large, '14T tokens', '32B'),
    tiny: {
      config: {
        ...small,
        vocab_size: 512,
        hidden_size: 96,
        intermediate_size: 288,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 24,
        max_position_embeddings: 256,
        rope_theta: 10000,
        rope_scaling: null,
        sliding_window: 32,
        layer_types: layerTypes(4, every(4)),
        initializer_range: TINY_INITIALIZER_RANGE,
        bos_token_id: null,
        eos_token_id: [],
        pad_token_id: null,
      },
    },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): Exaone4Config {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    reader.choice('hidden_act', { silu: true, swish: true }, 'silu');
    const common = readRotaryDecoder(reader, { tied: false, dividesHeads: true });
    const sliding_window = reader.has('sliding_window') ? reader.count('sliding_window') : null;
    const layers = common.num_hidden_layers;
    const layer_types = readLayerTypes(reader, layers, localLayers(reader, sliding_window));
    if (sliding_window === null && layer_types.includes('sliding_attention')) {
      reader.fail('layer_types', 'has local layers, but "sliding_window" is not set');
    }
    return { ...common, sliding_window, layer_types };
  },
  writeConfig: (c) => ({
    ...writeRotaryDecoder(c),
    hidden_act: 'silu',
    sliding_window: c.sliding_window,
    layer_types: [...c.layer_types],
  }),
  withLayers: withTypedLayers,
  parts,
  names,
  gguf: rotaryGguf({
    architecture: 'exaone4',
    norms: {
      post_attention_layernorm: 'post_attention_norm',
      post_feedforward_layernorm: 'post_ffw_norm',
    },
    headNorms: true,
    rotaryDivisors: true,
    write(c, refused) {
      const heads = c.num_attention_heads * c.head_dim;
      if (heads !== c.hidden_size)
        throw refused(`its heads have ${heads} dimensions together, its width is ${c.hidden_size}`);
      if (c.sliding_window !== null) throw refused(`"sliding_window" is ${c.sliding_window}`);
      return [];
    },
    read(file) {
      if (file.has('attention.sliding_window') || file.count('block_count') === 64)
        throw file.error('an EXAONE 4 with local layers is not supported; run the file with llama.cpp.');
      return { hidden_act: 'silu' };
    },
  }),
  transformersJs: false,
});

/** `sliding_window_pattern` is a number, or `LLLG`: local, local, local, global. */
function localLayers(reader: ConfigReader, window: number | null): (index: number) => boolean {
  if (window === null) return () => false;
  const pattern = reader.value('sliding_window_pattern');
  if (typeof pattern === 'string') {
    if (!/^[LG]+$/.test(pattern)) {
      reader.fail(
        'sliding_window_pattern',
        `must be a number or of the letters L and G, but is ${JSON.stringify(pattern)}`,
      );
    }
    return (index) => pattern[index % pattern.length] === 'L';
  }
  return every(reader.count('sliding_window_pattern', 4));
}
