import {
  type RotaryDecoderConfig,
  readRotaryDecoder,
  rotaryLayer,
  rotaryNames,
  rotaryParts,
  withRotaryLayers,
  writeRotaryDecoder,
} from './common/rotary-decoder.ts';
import { rotaryGguf } from './common/rotary-gguf.ts';
import { presetFields, type RotarySizes, TINY_FIELDS, TINY_SIZES } from './common/rotary-sizes.ts';
import { type ClassDefaults, ConfigReader, type RawConfig, type Warn } from './config.ts';
import { type DecoderParts, defineFamily } from './decoder.ts';
import type { Preset } from './family.ts';

/**
 * Mistral 7B and NeMo (Jiang et al. 2023, arXiv:2310.06825): Llama's layers, all with a sliding window in v0.1.
 *
 * Where implementations go wrong: every layer has the window, not every second one; `sliding_window` is null from
 * v0.2 on; NeMo's head_dim (128) is not hidden_size / num_attention_heads, and the field may be missing or null
 * elsewhere.
 */
export interface MistralConfig extends RotaryDecoderConfig {
  readonly sliding_window: number | null;
}

const names = rotaryNames('Mistral', { activation: 'SiLUActivation' });

function parts(c: MistralConfig): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 0 } as const;
  return rotaryParts(c, norm, (_index, rope) => {
    const layer = rotaryLayer(c, norm, 'silu', rope);
    return { ...layer, attention: { ...layer.attention, window: c.sliding_window } };
  });
}

function config(sizes: RotarySizes, rest: Partial<MistralConfig>): MistralConfig {
  return {
    ...presetFields(sizes),
    vocab_size: 32000,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-5,
    rope_theta: 1e6,
    sliding_window: null,
    tie_word_embeddings: false,
    bos_token_id: 1,
    eos_token_id: [2],
    pad_token_id: null,
    ...rest,
  };
}

const size7b = { width: 4096, hidden: 14336, layers: 32, heads: 32, kvHeads: 8, headDim: 128 };
const size12b = { ...size7b, width: 5120, layers: 40 };
const first = { rope_theta: 10000, sliding_window: 4096 };
const nemo = { vocab_size: 131072, max_position_embeddings: 131072 };

/** A window shorter than the context, so that it has an effect. */
const tiny = { ...TINY_FIELDS, sliding_window: 32, rope_theta: 10000, tie_word_embeddings: true };

const training = {
  data: 'not published',
  method: 'next-token prediction',
  source: 'Jiang et al. 2023, arXiv:2310.06825',
};

function published(sizes: RotarySizes, name: string, rest: Partial<MistralConfig>): Preset<MistralConfig> {
  return { config: config(sizes, rest), training, hub: `mistralai/${name}` };
}

/** The class's in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'MistralConfig',
  fields: {
    vocab_size: 32000,
    ...{ hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, num_key_value_heads: 8 },
    max_position_embeddings: 131072,
    rms_norm_eps: 1e-6,
    sliding_window: 4096,
    bos_token_id: 1,
    eos_token_id: 2,
  },
};

export const mistral = defineFamily<MistralConfig>({
  name: 'mistral',
  title: 'Mistral',
  predecessor: 'llama',
  modelType: 'mistral',
  architecture: 'MistralForCausalLM',
  training,
  defaultPreset: 'mistral-7b-v0.1',
  presets: {
    'mistral-7b-v0.1': published(size7b, 'Mistral-7B-v0.1', first),
    'mistral-7b-v0.3': published(size7b, 'Mistral-7B-v0.3', { vocab_size: 32768 }),
    'mistral-nemo-12b': published(size12b, 'Mistral-Nemo-Base-2407', nemo),
    tiny: { config: config({ ...TINY_SIZES, hidden: 288 }, tiny) },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): MistralConfig {
    const reader = new ConfigReader(raw, file, CLASS_DEFAULTS, warn);
    reader.choice('hidden_act', { silu: true, swish: true }, 'silu');
    reader.mustBe('attention_bias', [false]);
    return {
      ...readRotaryDecoder(reader, { tied: false, dividesHeads: true }),
      sliding_window: reader.has('sliding_window') ? reader.count('sliding_window') : null,
    };
  },
  writeConfig: (c) => ({
    ...writeRotaryDecoder(c),
    hidden_act: 'silu',
    sliding_window: c.sliding_window,
  }),
  withLayers: withRotaryLayers,
  parts,
  names,
  gguf: rotaryGguf({
    architecture: 'llama',
    // A file does not distinguish it from Llama, whose layers it has.
    recognizes: () => false,
    rotaryRows: true,
    rotaryDivisors: true,
    write(c, refused) {
      if (c.sliding_window === null || c.sliding_window >= c.max_position_embeddings) return [];
      throw refused(`"sliding_window" is ${c.sliding_window}`);
    },
  }),
  transformersJs: true,
});
