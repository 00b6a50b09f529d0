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
 * Qwen 3, dense (Qwen Team 2025, arXiv:2505.09388): each head of queries and keys is normalized before it is rotated;
 * no biases.
 *
 * Where implementations go wrong: the norms run over head_dim, not over all heads; head_dim is independent (128);
 * windows as in Qwen 2.
 */
export type Qwen3Config = QwenConfig;

const names = rotaryNames('Qwen3', { activation: 'SiLUActivation' });

function parts(c: Qwen3Config): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 0 } as const;
  return rotaryParts(c, norm, (index, rope) => {
    const layer = rotaryLayer(c, norm, 'silu', rope);
    return { ...layer, attention: { ...layer.attention, headNorm: norm, window: windowOf(c, index) } };
  });
}

const training = {
  data: '36T tokens',
  method: 'next-token prediction',
  source: 'Qwen Team 2025, arXiv:2505.09388',
};

function published(sizes: Sizes, name: string, tied: boolean): Preset<Qwen3Config> {
  const config = {
    ...qwenFields(sizes.layers),
    ...sizeFields({ ...sizes, kvHeads: 8, headDim: 128 }),
    max_position_embeddings: 40960,
    tie_word_embeddings: tied,
    bos_token_id: 151643,
    eos_token_id: [151645],
  };
  return { config, training, hub: `Qwen/${name}` };
}

type Sizes = Omit<RotarySizes, 'kvHeads' | 'headDim'>;
const size0b = { width: 1024, hidden: 3072, layers: 28, heads: 16 };
const size1b = { width: 2048, hidden: 6144, layers: 28, heads: 16 };
const size4b = { width: 2560, hidden: 9728, layers: 36, heads: 32 };
const size8b = { width: 4096, hidden: 12288, layers: 36, heads: 32 };
const size14b = { width: 5120, hidden: 17408, layers: 40, heads: 40 };
const size32b = { width: 5120, hidden: 25600, layers: 64, heads: 64 };

export const qwen3 = defineFamily<Qwen3Config>({
  name: 'qwen3',
  title: 'Qwen 3',
  predecessor: 'qwen2',
  modelType: 'qwen3',
  architecture: 'Qwen3ForCausalLM',
  training,
  defaultPreset: 'qwen3-8b',
  presets: {
    'qwen3-0.6b': published(size0b, 'Qwen3-0.6B', true),
    'qwen3-1.7b': published(size1b, 'Qwen3-1.7B', true),
    'qwen3-4b': published(size4b, 'Qwen3-4B', true),
    'qwen3-8b': published(size8b, 'Qwen3-8B', false),
    'qwen3-14b': published(size14b, 'Qwen3-14B', false),
    'qwen3-32b': published(size32b, 'Qwen3-32B', false),
    tiny: { config: { ...TINY_QWEN, attention_bias: false } },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): Qwen3Config {
    const defaults = { class: 'Qwen3Config', fields: { ...QWEN_DEFAULTS, head_dim: 128 } };
    return readQwen(new ConfigReader(raw, file, defaults, warn), false);
  },
  writeConfig: writeQwen,
  withLayers: withTypedLayers,
  parts,
  names,
  gguf: rotaryGguf({ architecture: 'qwen3', headNorms: true }),
  transformersJs: true,
});
