import type { ConfigReader } from '../config.ts';
import type { GgufForm, GgufReader } from './gguf.ts';
import type { RopeConfig } from './rope-config.ts';
import { type RotaryDecoderConfig, readRotaryDecoder, writeRotaryDecoder } from './rotary-decoder.ts';
import { ggufHeadDim, type RotaryGguf, rotaryGguf } from './rotary-gguf.ts';
import { USUAL_FIELDS } from './rotary-sizes.ts';

/** Preset fields that all generations of Gemma share. */
export const GEMMA_FIELDS = {
  ...USUAL_FIELDS,
  vocab_size: 256000,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: true,
  bos_token_id: 2,
  eos_token_id: [1],
  pad_token_id: 0,
};

/** Config fields that all generations share. Every name of GELU means the tanh form here. */
export function readGemma(reader: ConfigReader, rope?: RopeConfig): RotaryDecoderConfig {
  const tanhForms = { gelu_pytorch_tanh: true, gelu: true, gelu_new: true, gelu_fast: true };
  const field = reader.has('hidden_activation') ? 'hidden_activation' : 'hidden_act';
  reader.choice(field, tanhForms, 'gelu_pytorch_tanh');
  reader.mustBe('use_bidirectional_attention', [false]);
  return readRotaryDecoder(reader, { tied: true, dividesHeads: false, rope });
}

/** The fields of {@link readGemma}. */
export function writeGemma(c: RotaryDecoderConfig): Record<string, unknown> {
  const activation = 'gelu_pytorch_tanh';
  return { ...writeRotaryDecoder(c), hidden_act: activation, hidden_activation: activation };
}

type QueryScalar = { readonly query_pre_attn_scalar?: number };

/**
 * Gemma's GGUF form: norm weights stored plus one, a tied head, no rescaled frequencies, no activation.
 *
 * @param form.largest the number of layers of the generation's largest model. llama.cpp derives
 *   `query_pre_attn_scalar`, which files do not store, from the size: width / heads for the largest, head_dim for the
 *   others.
 */
export function gemmaGguf<C extends RotaryDecoderConfig & QueryScalar>({
  largest,
  ...form
}: RotaryGguf<C> & { readonly largest?: number }): GgufForm<C> {
  const derive = (layers: number, width: number, heads: number, headDim: number) =>
    layers === largest ? width / heads : headDim;
  const derivedOf = (file: GgufReader) =>
    derive(
      file.count('block_count'),
      file.count('embedding_length'),
      file.sameCount('attention.head_count'),
      ggufHeadDim(file),
    );
  return rotaryGguf<C>({
    ...form,
    normsPlusOne: true,
    alwaysTied: true,
    write(c, refused) {
      const own = c.query_pre_attn_scalar;
      const derived = derive(c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.head_dim);
      if (largest !== undefined && own !== derived) {
        throw refused(
          `"query_pre_attn_scalar" is ${own}, but GGUF cannot store it: llama.cpp derives ${derived} from the sizes`,
        );
      }
      return form.write?.(c, refused) ?? [];
    },
    read: (file) => ({
      hidden_activation: 'gelu_pytorch_tanh',
      ...form.read?.(file),
      ...(largest !== undefined && { query_pre_attn_scalar: derivedOf(file) }),
    }),
  });
}
