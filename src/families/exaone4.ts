import {
  globalEvery,
  layerTypes,
  readLayerPattern,
  readWindows,
  type WindowConfig,
  windowOf,
  withTypedLayers,
} from './common/layer-types.ts';
import {
  type RotaryDecoderConfig,
  readRotaryDecoder,
  rotaryLayer,
  rotaryNames,
  rotaryParts,
  writeRotaryDecoder,
} from './common/rotary-decoder.ts';
import { rotaryGguf } from './common/rotary-gguf.ts';
import { presetFields, type RotarySizes, TINY_FIELDS, TINY_SIZES } from './common/rotary-sizes.ts';
import { type ClassDefaults, ConfigReader, type RawConfig, type Warn } from './config.ts';
import { type DecoderParts, defineFamily } from './decoder.ts';

/**
 * EXAONE 4 (LG AI Research 2025, arXiv:2507.11407): norms only after attention and MLP; at 32B three local layers for
 * each global one, and global layers have no positions.
 *
 * Where implementations go wrong: x + norm(attention(x)), with nothing before the projections; with windows, only
 * local layers use RoPE, and without windows all do; queries and keys are normalized before the rotation.
 */
export type Exaone4Config = RotaryDecoderConfig & WindowConfig;

const names = rotaryNames('Exaone4', {
  activation: 'SiLUActivation',
  norms: { attentionPostNorm: 'post_attention_layernorm', mlpPostNorm: 'post_feedforward_layernorm' },
});

function parts(c: Exaone4Config): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 0 } as const;
  return rotaryParts(c, norm, (index, rope) => {
    const layer = rotaryLayer(c, norm, 'silu', rope);
    const window = windowOf(c, index);
    return {
      ...layer,
      norms: { attentionPostNorm: norm, mlpPostNorm: norm },
      attention: { ...layer.attention, headNorm: norm, window },
      rope: c.sliding_window !== null && window === null ? null : rope,
    };
  });
}

/** With windows, three local layers are followed by a global one without positions. */
const isLocal = globalEvery(4);

function config(sizes: RotarySizes, rest: Partial<Exaone4Config>): Exaone4Config {
  const { sliding_window = null } = rest;
  return {
    ...presetFields(sizes),
    vocab_size: 102400,
    max_position_embeddings: 131072,
    rms_norm_eps: 1e-5,
    rope_theta: 1e6,
    sliding_window,
    layer_types: layerTypes(sizes.layers, sliding_window === null ? () => false : isLocal),
    tie_word_embeddings: true,
    ...{ bos_token_id: 1, eos_token_id: [361], pad_token_id: 0 },
    ...rest,
  };
}

const bands = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
const scaling = { rope_type: 'llama3', factor: 16, ...bands } as const;
const size1b = { width: 2048, hidden: 4096, layers: 30, heads: 32, kvHeads: 8, headDim: 64 };
const size32b = { width: 5120, hidden: 27392, layers: 64, heads: 40, kvHeads: 8, headDim: 128 };
const large = { sliding_window: 4096, tie_word_embeddings: false };
const tiny = { ...TINY_FIELDS, rope_theta: 10000, sliding_window: 32 };

const method = 'next-token prediction';
const source = 'LG AI Research 2025, arXiv:2507.11407';

function published(sizes: RotarySizes, data: string, size: string, rest: Partial<Exaone4Config>) {
  const own = config(sizes, { rope_scaling: scaling, ...rest });
  return { config: own, training: { data, method, source }, hub: `LGAI-EXAONE/EXAONE-4.0-${size}` };
}

/** The class's in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'Exaone4Config',
  fields: {
    vocab_size: 102400,
    ...{ hidden_size: 4096, intermediate_size: 16384, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, num_key_value_heads: 32 },
    ...{ max_position_embeddings: 2048, rms_norm_eps: 1e-5, bos_token_id: 0, eos_token_id: 2 },
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
    'exaone-4.0-1.2b': published(size1b, '12T tokens', '1.2B', { max_position_embeddings: 65536 }),
    'exaone-4.0-32b': published(size32b, '14T tokens', '32B', large),
    tiny: { config: config({ ...TINY_SIZES, hidden: 288 }, tiny) },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): Exaone4Config {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    reader.choice('hidden_act', { silu: true, swish: true }, 'silu');
    const common = readRotaryDecoder(reader, { tied: false, dividesHeads: true });
    const windows = readWindows(reader, common.num_hidden_layers, true, () => readLayerPattern(reader, 4));
    return { ...common, ...windows };
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
    norms: { post_attention_layernorm: 'post_attention_norm', post_feedforward_layernorm: 'post_ffw_norm' },
    headNorms: true,
    rotaryDivisors: true,
    // llama.cpp assumes that models with 64 layers have windows, and others none.
    isLocal: (index, layers) => layers === 64 && isLocal(index),
    write(c, refused) {
      const heads = c.num_attention_heads * c.head_dim;
      if (heads !== c.hidden_size)
        throw refused(`its heads have ${heads} dimensions in total, but its width is ${c.hidden_size}`);
      const window = c.sliding_window;
      if ((window !== null) !== (c.num_hidden_layers === 64))
        throw refused(`"sliding_window" is ${window} at ${c.num_hidden_layers} layers`);
      return window === null ? [] : [['attention.sliding_window', 'u32', window]];
    },
    read(file) {
      const key = 'attention.sliding_window';
      if (file.count('block_count') === 64)
        return { hidden_act: 'silu', sliding_window: file.count(key, 4096) };
      if (file.has(key))
        throw file.error(`"${key}" at other than 64 layers is not supported; run the file with llama.cpp.`);
      return { hidden_act: 'silu' };
    },
  }),
  transformersJs: false,
});
