import { GEMMA_FIELDS, gemmaGguf, readGemma, writeGemma } from './common/gemma-common.ts';
import {
  type RotaryDecoderConfig,
  rotaryLayer,
  rotaryNames,
  rotaryParts,
  withRotaryLayers,
} from './common/rotary-decoder.ts';
import { type RotarySizes, sizeFields, TINY_FIELDS, TINY_SIZES } from './common/rotary-sizes.ts';
import { type ClassDefaults, ConfigReader, type RawConfig, type Warn } from './config.ts';
import { type DecoderParts, defineFamily } from './decoder.ts';
import type { Preset } from './family.ts';

/**
 * Gemma (Gemma Team 2024, arXiv:2403.08295): RoPE, RMSNorm, GeGLU; multi-head attention at 7B, multi-query at 2B.
 *
 * Where implementations go wrong: RMSNorm scales by 1 + weight; the embedding is scaled by √width, the tied head is
 * not; head_dim is independent (16 × 256 at a width of 3072); `hidden_act: "gelu"` in old files means the tanh form.
 */
export type GemmaConfig = RotaryDecoderConfig;

const names = rotaryNames('Gemma', {
  activation: 'GELUTanh',
  embedding: 'GemmaTextScaledWordEmbedding',
});

function parts(c: GemmaConfig): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 1 } as const;
  return {
    ...rotaryParts(c, norm, (_index, rope) => rotaryLayer(c, norm, 'gelu', rope)),
    embeddingScale: Math.sqrt(c.hidden_size),
  };
}

const size2b = { width: 2048, hidden: 16384, layers: 18, heads: 8, kvHeads: 1, headDim: 256 };
const size7b = { width: 3072, hidden: 24576, layers: 28, heads: 16, kvHeads: 16, headDim: 256 };

const source = 'Gemma Team 2024, arXiv:2403.08295';
const method = 'next-token prediction';

function published(sizes: RotarySizes, data: string, hub: string): Preset<GemmaConfig> {
  return {
    config: { ...GEMMA_FIELDS, ...sizeFields(sizes) },
    training: { data, method, source },
    hub: `google/${hub}`,
  };
}

/** The class's in transformers 5.18. */
const CLASS_DEFAULTS: ClassDefaults = {
  class: 'GemmaConfig',
  fields: {
    vocab_size: 256000,
    ...sizeFields(size7b),
    ...{ max_position_embeddings: 8192, rms_norm_eps: 1e-6 },
    ...{ bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 },
  },
};

export const gemma = defineFamily<GemmaConfig>({
  name: 'gemma',
  title: 'Gemma',
  modelType: 'gemma',
  architecture: 'GemmaForCausalLM',
  training: { data: 'about 6T tokens', method, source },
  defaultPreset: 'gemma-7b',
  presets: {
    'gemma-2b': published(size2b, '3T tokens', 'gemma-2b'),
    'gemma-7b': published(size7b, '6T tokens', 'gemma-7b'),
    tiny: {
      config: {
        ...GEMMA_FIELDS,
        ...sizeFields({ ...TINY_SIZES, hidden: 256, kvHeads: 4 }),
        ...TINY_FIELDS,
      },
    },
  },
  readConfig(raw: RawConfig, file: string, warn?: Warn): GemmaConfig {
    return readGemma(new ConfigReader(raw, file, CLASS_DEFAULTS, warn));
  },
  writeConfig: writeGemma,
  withLayers: withRotaryLayers,
  parts,
  names,
  gguf: gemmaGguf({ architecture: 'gemma' }),
  transformersJs: true,
});
