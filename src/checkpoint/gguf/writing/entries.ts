import { RopewalkError } from '../../../errors.ts';
import { type RopeScaling, rescaleRotary, yarnMagnitude } from '../../../nn/rope-scaling.ts';
import { gemma2QueryScalar, YARN_BOUNDS } from '../reading/config.ts';
import type { GgufValue, GgufValueType } from '../types.ts';

/** A metadata entry as `writeGguf` takes it. */
export type GgufEntry = readonly [string, GgufValueType, GgufValue];

type WrittenConfig = Readonly<Record<string, unknown>>;

/** Metadata by the model_type of a config.json; the inverse of config.ts. */
const ARCHITECTURES: Readonly<Record<string, (config: Fields) => GgufEntry[]>> = {
  llama: rotaryDecoder,
  gemma: (config) => {
    refuseUntied(config);
    refuseDivisors(config);
    return rotaryDecoder(config);
  },
  gemma2: (config) => {
    refuseUntied(config);
    refuseDivisors(config);
    refuseQueryScalar(config);
    const types = config.value('layer_types') as readonly string[];
    const local = (type: string) => type === 'sliding_attention';
    if (types.some((type, layer) => local(type) !== (layer % 2 === 0))) {
      throw config.refused('"layer_types" are not sliding_attention and full_attention in turn');
    }
    return [
      ...rotaryDecoder(config),
      [config.key('attn_logit_softcapping'), 'f32', cap(config, 'attn_logit_softcapping')],
      [config.key('final_logit_softcapping'), 'f32', cap(config, 'final_logit_softcapping')],
      [config.key('attention.sliding_window'), 'u32', config.number('sliding_window')],
    ];
  },
  gpt2: (config) => {
    const width = config.number('n_embd');
    return [
      [config.key('context_length'), 'u32', config.number('n_positions')],
      [config.key('embedding_length'), 'u32', width],
      [config.key('feed_forward_length'), 'u32', config.optional('n_inner') ?? 4 * width],
      [config.key('block_count'), 'u32', config.number('n_layer')],
      [config.key('attention.head_count'), 'u32', config.number('n_head')],
      [config.key('attention.layer_norm_epsilon'), 'f32', config.number('layer_norm_epsilon')],
    ];
  },
};

/**
 * The metadata that stand for a model's sizes and settings, `{arch}.…`.
 *
 * @param config what the family's `writeConfig` gives
 * @param path what messages call the model
 * @throws RopewalkError naming what llama.cpp has no form for
 */
export function entriesFromConfig(config: WrittenConfig, path: string): GgufEntry[] {
  const architecture = String(config.model_type);
  const make = ARCHITECTURES[architecture];
  if (!make) {
    throw new RopewalkError(
      `${path}: llama.cpp has no architecture for the family "${architecture}"; GGUF takes ${Object.keys(ARCHITECTURES).join(', ')}: export it with --to hf or --to onnx.`,
    );
  }
  const fields = new Fields(config, architecture, path);
  return [...make(fields), [fields.key('vocab_size'), 'u32', fields.number('vocab_size')]];
}

/**
 * What `rope_freqs.weight` holds: what each rotary frequency is divided by, `[head_dim / 2]`; undefined without
 * rescaling.
 */
export function rotaryDivisors(config: WrittenConfig): Float32Array | undefined {
  const scaling = config.rope_scaling as RopeScaling | null | undefined;
  if (scaling?.rope_type !== 'llama3') return undefined;
  const size = config.head_dim as number;
  const theta = config.rope_theta as number;
  return Float32Array.from({ length: size / 2 }, (_, i) => {
    const frequency = theta ** (-(2 * i) / size);
    return frequency / rescaleRotary(frequency, scaling);
  });
}

/** A family's config, already checked by the family. */
class Fields {
  constructor(
    private readonly config: WrittenConfig,
    private readonly architecture: string,
    private readonly path: string,
  ) {}

  key(name: string): string {
    return `${this.architecture}.${name}`;
  }

  value(field: string): unknown {
    return this.config[field];
  }

  get scaling(): RopeScaling | null {
    return (this.config.rope_scaling as RopeScaling | null | undefined) ?? null;
  }

  number(field: string): number {
    return this.config[field] as number;
  }

  optional(field: string): number | undefined {
    return (this.config[field] as number | null | undefined) ?? undefined;
  }

  refused(problem: string): RopewalkError {
    return new RopewalkError(
      `${this.path}: ${problem}, which llama.cpp cannot run as ${this.architecture}; export it with --to hf or --to onnx.`,
    );
  }
}

function rotaryDecoder(config: Fields): GgufEntry[] {
  const size = config.number('head_dim');
  return [
    [config.key('context_length'), 'u32', config.number('max_position_embeddings')],
    [config.key('embedding_length'), 'u32', config.number('hidden_size')],
    [config.key('block_count'), 'u32', config.number('num_hidden_layers')],
    [config.key('feed_forward_length'), 'u32', config.number('intermediate_size')],
    [config.key('attention.head_count'), 'u32', config.number('num_attention_heads')],
    [config.key('attention.head_count_kv'), 'u32', config.number('num_key_value_heads')],
    [config.key('attention.key_length'), 'u32', size],
    [config.key('attention.value_length'), 'u32', size],
    [config.key('attention.layer_norm_rms_epsilon'), 'f32', config.number('rms_norm_eps')],
    [config.key('rope.dimension_count'), 'u32', size],
    [config.key('rope.freq_base'), 'f32', config.number('rope_theta')],
    ...scalingEntries(config),
  ];
}

function refuseUntied(config: Fields): void {
  if (config.value('tie_word_embeddings') !== true) {
    throw config.refused('its head has weights of its own ("tie_word_embeddings" is false)');
  }
}

/** llama.cpp reads rope_freqs.weight of Llama alone. */
function refuseDivisors(config: Fields): void {
  if (config.scaling?.rope_type === 'llama3')
    throw config.refused('it rescales rotary frequencies by "llama3"');
}

/** The inverse of what config.ts reads; llama3 is a tensor, and dynamic is none within the positions. */
function scalingEntries(config: Fields): GgufEntry[] {
  const { scaling } = config;
  if (!scaling || scaling.rope_type === 'llama3' || scaling.rope_type === 'dynamic') return [];
  const { rope_type: type, factor } = scaling;
  const entries: GgufEntry[] = [
    [config.key('rope.scaling.type'), 'string', type],
    [config.key('rope.scaling.factor'), 'f32', factor],
  ];
  if (type === 'linear') return entries;
  if (!scaling.truncate) throw config.refused('its YaRN does not round its bounds ("truncate" is false)');
  const { beta_fast, beta_slow } = YARN_BOUNDS;
  if (scaling.beta_fast !== beta_fast || scaling.beta_slow !== beta_slow)
    throw config.refused(
      `the bounds of its YaRN are "beta_fast" ${scaling.beta_fast} and "beta_slow" ${scaling.beta_slow}, not ${beta_fast} and ${beta_slow}`,
    );
  const length = scaling.original_max_position_embeddings;
  entries.push([config.key('rope.scaling.original_context_length'), 'u32', length]);
  const attention = scaling.attention_factor / yarnMagnitude(factor);
  if (Math.abs(attention - 1) > 1e-6)
    entries.push([config.key('rope.scaling.attn_factor'), 'f32', attention]);
  return entries;
}

function refuseQueryScalar(config: Fields): void {
  const heads = config.number('num_attention_heads');
  const derived = gemma2QueryScalar(
    config.number('num_hidden_layers'),
    config.number('hidden_size'),
    heads,
    config.number('head_dim'),
  );
  const own = config.number('query_pre_attn_scalar');
  if (own !== derived) {
    throw config.refused(
      `"query_pre_attn_scalar" is ${own}, and GGUF has no place for it: ${derived} is derived from the sizes`,
    );
  }
}

/** llama.cpp caps the logits of every Gemma 2; a cap of 0 divides by it. */
function cap(config: Fields, field: string): number {
  const value = config.optional(field);
  if (value === undefined) throw config.refused(`it has no cap ("${field}" is null)`);
  return value;
}
