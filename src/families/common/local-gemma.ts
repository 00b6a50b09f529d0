import type { ConfigReader } from '../config.ts';
import type { DecoderParts, LayerParts, NormPlace } from '../decoder.ts';
import { gemmaGguf, readGemma, writeGemma } from './gemma-common.ts';
import type { GgufForm } from './gguf.ts';
import { type LayerType, readLayerTypes } from './layer-types.ts';
import type { RopeConfig } from './rope-config.ts';
import { type RotaryDecoderConfig, rotaryLayer, rotaryParts } from './rotary-decoder.ts';
import type { RotaryGguf } from './rotary-gguf.ts';

/** Gemma since its second generation: local and global layers, a separate query scale, capped logits. */
export interface LocalGemmaConfig extends RotaryDecoderConfig {
  readonly query_pre_attn_scalar: number;
  readonly sliding_window: number;
  readonly layer_types: readonly LayerType[];
  readonly attn_logit_softcapping: number | null;
  readonly final_logit_softcapping: number | null;
}

/**
 * @param isLocal the rule for a file without `layer_types`.
 * @param rope already read, if the generation has more than one.
 */
export function readLocalGemma(
  reader: ConfigReader,
  isLocal: (index: number) => boolean,
  rope?: RopeConfig,
): LocalGemmaConfig {
  const common = readGemma(reader, rope);
  return {
    ...common,
    query_pre_attn_scalar: reader.number('query_pre_attn_scalar'),
    sliding_window: reader.count('sliding_window'),
    layer_types: readLayerTypes(reader, common.num_hidden_layers, isLocal),
    attn_logit_softcapping: reader.optionalNumber('attn_logit_softcapping'),
    final_logit_softcapping: reader.optionalNumber('final_logit_softcapping'),
  };
}

/** The fields of {@link readLocalGemma}. */
export function writeLocalGemma(c: LocalGemmaConfig): Record<string, unknown> {
  return {
    ...writeGemma(c),
    query_pre_attn_scalar: c.query_pre_attn_scalar,
    sliding_window: c.sliding_window,
    layer_types: [...c.layer_types],
    attn_logit_softcapping: c.attn_logit_softcapping,
    final_logit_softcapping: c.final_logit_softcapping,
  };
}

/** Norms before and after both branches, with their checkpoint names. */
export const LOCAL_GEMMA_NORMS: Readonly<Record<NormPlace, string>> = {
  attentionNorm: 'input_layernorm',
  attentionPostNorm: 'post_attention_layernorm',
  mlpNorm: 'pre_feedforward_layernorm',
  mlpPostNorm: 'post_feedforward_layernorm',
};

const GGUF_NORMS = {
  input_layernorm: 'attn_norm',
  post_attention_layernorm: 'post_attention_norm',
  pre_feedforward_layernorm: 'ffn_norm',
  post_feedforward_layernorm: 'post_ffw_norm',
};

/** @param own adds what is specific to the generation to each layer. */
export function localGemmaParts(
  c: LocalGemmaConfig,
  own: (layer: LayerParts, isLocal: boolean) => LayerParts = (layer) => layer,
): DecoderParts {
  const norm = { kind: 'RMSNorm', epsilon: c.rms_norm_eps, weightOffset: 1 } as const;
  const whole = rotaryParts(c, norm, (index, rope) => {
    const layer = rotaryLayer(c, norm, 'gelu', rope);
    const isLocal = c.layer_types[index] === 'sliding_attention';
    const attention = {
      ...layer.attention,
      scale: c.query_pre_attn_scalar ** -0.5,
      window: isLocal ? c.sliding_window : null,
      softcap: c.attn_logit_softcapping,
    };
    const norms = { attentionNorm: norm, attentionPostNorm: norm, mlpNorm: norm, mlpPostNorm: norm };
    return own({ ...layer, norms, attention }, isLocal);
  });
  return {
    ...whole,
    embeddingScale: Math.sqrt(c.hidden_size),
    head: { ...whole.head, softcap: c.final_logit_softcapping },
  };
}

/**
 * @param form.largest the number of layers of the generation's largest model; see {@link gemmaGguf}.
 * @param form.window for a file without one.
 */
export function localGemmaGguf<C extends LocalGemmaConfig>({
  window,
  ...form
}: RotaryGguf<C> & { readonly largest: number; readonly window: number }): GgufForm<C> {
  return gemmaGguf({
    ...form,
    norms: GGUF_NORMS,
    settings: { ...form.settings, sliding_window: ['attention.sliding_window', 'u32', window] },
  });
}
