import { windowOf, withTypedLayers } from './common/layer-types.ts';
import {
  QWEN_DEFAULTS,
  type QwenConfig,
  qwenFields,
  readQwen,
  TINY_QWEN,
  writeQwen,
} from './common/qwen-common.ts';
import { rotaryLayer, rotaryNames, rotaryParts } from './common/rotary-decoder.ts';
import { rotaryGguf } from './common/rotary-gguf.ts';
import { type RotarySizes, sizeFields } from './common/rotary-sizes.ts';
import { ConfigReader, type RawConfig, type Warn } from './config.ts';
import { type DecoderParts, defineFamily } from './decoder.ts';
import type { Preset } from './family.ts';

/**
 * Qwen 2 and 2.5 (Qwen Team 2024, arXiv:2407.10671 and arXiv:2412.15115): Llama's layers with biases on queries, keys
 * and values.
 *
 * Where implementations go wrong: the output projection has no bias; `sliding_window` counts only where
 * `use_sliding_window` is true, and then only from layer `max_window_layers` on; the embedding has more rows than the
 * tokenizer has tokens; there is no token for the beginning of a text.
 */
export type Qwen2Config = QwenConfig;

const names = rotaryNames('Qwen2', { activation: 'SiLUActivation' });

function parts(c: Qwen2Config): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 0 } as const;
  return rotaryParts(c, norm, (index, rope) => {
    const layer = rotaryLayer(c, norm, 'silu', rope);
    const window = windowOf(c, index);
    return { ...layer, attention: { ...layer.attention, bias: true, outputBias: false, window } };
  });
}

const training = {
  data: 'up to 18T tokens',
  method: 'next-token prediction',
  source: 'Qwen Team 2024, arXiv:2412.15115',
};

function published(sizes: RotarySizes, name: string, rest: Partial<Qwen2Config> = {}): Preset<Qwen2Config> {
  const config = {
    ...qwenFields(sizes.layers),
    ...sizeFields(sizes),
    max_position_embeddings: 32768,
    attention_bias: true,
    tie_word_embeddings: true,
    bos_token_id: null,
    eos_token_id: [151643],
    ...rest,
  };
  return { config, training, hub: `Qwen/${name}` };
}

const size0b = { width: 896, hidden: 4864, layers: 24, heads: 14, kvHeads: 2, headDim: 64 };
const size1b = { width: 1536, hidden: 8960, layers: 28, heads: 12, kvHeads: 2, headDim: 128 };
const size3b = { width: 2048, hidden: 11008, layers: 36, heads: 16, kvHeads: 2, headDim: 128 };
const size7b = { width: 3584, hidden: 18944, layers: 28, heads: 28, kvHeads: 4, headDim: 128 };
const large = { vocab_size: 152064, tie_word_embeddings: false, max_position_embeddings: 131072 };

export const qwen2 = defineFamily<Qwen2Config>({
  name: 'qwen2',
  title: 'Qwen 2.5',
  predecessor: 'llama',
  modelType: 'qwen2',
  architecture: 'Qwen2ForCausalLM',
  training,
  defaultPreset: 'qwen2.5-7b',
  presets: {
    'qwen2.5-0.5b': published(size0b, 'Qwen2.5-0.5B'),
    'qwen2.5-1.5b': published(size1b, 'Qwen2.5-1.5B'),
    'qwen2.5-3b': published(size3b, 'Qwen2.5-3B'),
    'qwen2.5-7b': published(size7b, 'Qwen2.5-7B', large),
    tiny: { config: { ...TINY_QWEN, attention_bias: true } },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): Qwen2Config {
    const defaults = { class: 'Qwen2Config', fields: QWEN_DEFAULTS };
    return { ...readQwen(new ConfigReader(raw, file, defaults, warn), true), attention_bias: true };
  },
  writeConfig: writeQwen,
  withLayers: withTypedLayers,
  parts,
  names,
  gguf: rotaryGguf({ architecture: 'qwen2', biases: ['q_proj', 'k_proj', 'v_proj'] }),
  transformersJs: true,
});
