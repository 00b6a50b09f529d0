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
 * Qwen 2 and 2.5 (Qwen Team 2024, arXiv:2407.10671 and arXiv:2412.15115): Llama's layers with biases on queries, keys and
 * values.
 *
 * Where implementations go wrong: the output projection has no bias; `sliding_window` counts only where
 * `use_sliding_window` is true, and then only from layer `max_window_layers` on; the embedding has more rows than the
 * tokenizer has tokens; there is no token that begins a text.
 */
export interface Qwen2Config extends RotaryDecoderConfig {
  readonly sliding_window: number | null;
  readonly max_window_layers: number;
  readonly layer_types: readonly LayerType[];
}

const names = rotaryNames('Qwen2', { activation: 'SiLUActivation' });

function parts(c: Qwen2Config): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 0 } as const;
  return rotaryParts(c, norm, (index, rope) => {
    const layer = rotaryLayer(c, norm, 'silu', rope);
    const window = c.layer_types[index] === 'sliding_attention' ? c.sliding_window : null;
    return { ...layer, attention: { ...layer.attention, bias: true, outputBias: false, window } };
  });
}

/** Fields about windows, which Qwen 3 has too. */
export function readWindows(reader: ConfigReader, layers: number) {
  const slides = reader.flag('use_sliding_window', false);
  const sliding_window = slides && reader.has('sliding_window') ? reader.count('sliding_window') : null;
  const max_window_layers = reader.count('max_window_layers', 28, 0);
  const layer_types = readLayerTypes(
    reader,
    layers,
    (index) => sliding_window !== null && index >= max_window_layers,
  );
  if (sliding_window === null && layer_types.includes('sliding_attention')) {
    reader.fail(
      'layer_types',
      'has local layers, but "use_sliding_window" and "sliding_window" do not set a window',
    );
  }
  return { sliding_window, max_window_layers, layer_types };
}

export function writeWindows(c: Pick<Qwen2Config, 'sliding_window' | 'max_window_layers' | 'layer_types'>) {
  return {
    use_sliding_window: c.sliding_window !== null,
    sliding_window: c.sliding_window,
    max_window_layers: c.max_window_layers,
    layer_types: [...c.layer_types],
  };
}

function config(
  width: number,
  hidden: number,
  layers: number,
  heads: number,
  rest: Partial<Qwen2Config> = {},
): Qwen2Config {
  return {
    vocab_size: 151936,
    hidden_size: width,
    intermediate_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: 2,
    head_dim: width / heads,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    rope_scaling: null,
    attention_bias: true,
    sliding_window: null,
    max_window_layers: layers,
    layer_types: layerTypes(layers, () => false),
    tie_word_embeddings: true,
    initializer_range: 0.02,
    bos_token_id: null,
    eos_token_id: [151643],
    pad_token_id: null,
    ...rest,
  };
}

const training = {
  data: 'up to 18T tokens',
  method: 'next-token prediction',
  source: 'Qwen Team 2024, arXiv:2412.15115',
};
const published = (own: Qwen2Config, hub: string): Preset<Qwen2Config> => ({ config: own, training, hub });
const large = {
  vocab_size: 152064,
  num_key_value_heads: 4,
  tie_word_embeddings: false,
  max_position_embeddings: 131072,
};

const CLASS_DEFAULTS: ClassDefaults = {
  class: 'Qwen2Config',
  fields: {
    vocab_size: 151936,
    hidden_size: 4096,
    intermediate_size: 22016,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
  },
};

export const qwen2 = defineFamily<Qwen2Config>({
  name: 'qwen2',
  title: 'Qwen 2.5',
  predecessor: 'llama',
  modelType: 'qwen2',
  architecture: 'Qwen2ForCausalLM',
  training,
  defaultPreset: 'qwen2.5-7b',
  presets: {
    'qwen2.5-0.5b': published(config(896, 4864, 24, 14), 'Qwen/Qwen2.5-0.5B'),
    'qwen2.5-1.5b': published(config(1536, 8960, 28, 12), 'Qwen/Qwen2.5-1.5B'),
    'qwen2.5-3b': published(config(2048, 11008, 36, 16), 'Qwen/Qwen2.5-3B'),
    'qwen2.5-7b': published(config(3584, 18944, 28, 28, large), 'Qwen/Qwen2.5-7B'),
    tiny: {
      config: config(96, 288, 4, 4, {
        vocab_size: 512,
        max_position_embeddings: 256,
        rope_theta: 10000,
        initializer_range: TINY_INITIALIZER_RANGE,
        eos_token_id: [],
      }),
    },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): Qwen2Config {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    reader.choice('hidden_act', { silu: true, swish: true }, 'silu');
    const common = readRotaryDecoder(reader, { tied: false, dividesHeads: true });
    return { ...common, attention_bias: true, ...readWindows(reader, common.num_hidden_layers) };
  },
  writeConfig: (c) => ({
    ...writeRotaryDecoder(c),
    ...writeWindows(c),
    hidden_act: 'silu',
  }),
  withLayers: withTypedLayers,
  parts,
  names,
  gguf: rotaryGguf({ architecture: 'qwen2', biases: ['q_proj', 'k_proj', 'v_proj'] }),
  transformersJs: true,
});
