import { type LayerType, layerTypes, withTypedLayers } from './common/layer-types.ts';
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
import { readWindows, writeWindows } from './qwen2.ts';

/**
 * Qwen 3, dense (Qwen Team 2025, arXiv:2505.09388): each head of queries and keys is normalized before it is rotated;
 * no biases.
 *
 * Where implementations go wrong: the norms run over head_dim, not over all heads; head_dim is a field of its own (128);
 * windows as in Qwen 2.
 */
export interface Qwen3Config extends RotaryDecoderConfig {
  readonly sliding_window: number | null;
  readonly max_window_layers: number;
  readonly layer_types: readonly LayerType[];
}

const names = rotaryNames('Qwen3', { activation: 'SiLUActivation' });

function parts(c: Qwen3Config): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 0 } as const;
  return rotaryParts(c, norm, (index, rope) => {
    const layer = rotaryLayer(c, norm, 'silu', rope);
    const window = c.layer_types[index] === 'sliding_attention' ? c.sliding_window : null;
    return { ...layer, attention: { ...layer.attention, headNorm: norm, window } };
  });
}

function config(
  width: number,
  hidden: number,
  layers: number,
  heads: number,
  rest: Partial<Qwen3Config> = {},
): Qwen3Config {
  return {
    vocab_size: 151936,
    hidden_size: width,
    intermediate_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: 8,
    head_dim: 128,
    max_position_embeddings: 40960,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    rope_scaling: null,
    attention_bias: false,
    sliding_window: null,
    max_window_layers: layers,
    layer_types: layerTypes(layers, () => false),
    tie_word_embeddings: true,
    initializer_range: 0.02,
    bos_token_id: 151643,
    eos_token_id: [151645],
    pad_token_id: null,
    ...rest,
  };
}

const training = {
  data: '36T tokens',
  method: 'next-token prediction',
  source: 'Qwen Team 2025, arXiv:2505.09388',
};
const published = (own: Qwen3Config, hub: string): Preset<Qwen3Config> => ({ config: own, training, hub });
const untied = { tie_word_embeddings: false };

/** Of the class in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'Qwen3Config',
  fields: {
    vocab_size: 151936,
    hidden_size: 4096,
    intermediate_size: 22016,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    head_dim: 128,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
  },
};

export const qwen3 = defineFamily<Qwen3Config>({
  name: 'qwen3',
  title: 'Qwen 3',
  predecessor: 'qwen2',
  modelType: 'qwen3',
  architecture: 'Qwen3ForCausalLM',
  training,
  defaultPreset: 'qwen3-8b',
  presets: {
    'qwen3-0.6b': published(config(1024, 3072, 28, 16), 'Qwen/Qwen3-0.6B'),
    'qwen3-1.7b': published(config(2048, 6144, 28, 16), 'Qwen/Qwen3-1.7B'),
    'qwen3-4b': published(config(2560, 9728, 36, 32), 'Qwen/Qwen3-4B'),
    'qwen3-8b': published(config(4096, 12288, 36, 32, untied), 'Qwen/Qwen3-8B'),
    'qwen3-14b': published(config(5120, 17408, 40, 40, untied), 'Qwen/Qwen3-14B'),
    'qwen3-32b': published(config(5120, 25600, 64, 64, untied), 'Qwen/Qwen3-32B'),
    tiny: {
      config: config(96, 288, 4, 4, {
        vocab_size: 512,
        num_key_value_heads: 2,
        head_dim: 24,
        max_position_embeddings: 256,
        rope_theta: 10000,
        initializer_range: TINY_INITIALIZER_RANGE,
        bos_token_id: null,
        eos_token_id: [],
      }),
    },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): Qwen3Config {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    reader.choice('hidden_act', { silu: true, swish: true }, 'silu');
    const common = readRotaryDecoder(reader, { tied: false, dividesHeads: false });
    return { ...common, ...readWindows(reader, common.num_hidden_layers) };
  },
  writeConfig: (c) => ({
    ...writeRotaryDecoder(c),
    ...writeWindows(c),
    hidden_act: 'silu',
  }),
  withLayers: withTypedLayers,
  parts,
  names,
  gguf: rotaryGguf({ architecture: 'qwen3', headNorms: true }),
  transformersJs: true,
});
