import {
  type GgufForm,
  type GgufReader,
  type GgufRows,
  type GgufSetting,
  ggufTensors,
  type RefuseGguf,
} from './gguf.ts';
import { ggufScaling, readGgufScaling, rotaryDivisors } from './gguf-rope.ts';
import { type LayerType, layerTypes } from './layer-types.ts';
import type { RotaryDecoderConfig } from './rotary-decoder.ts';

/** More than any model has, and more than configs may have; a file may claim billions. */
const MAX_LAYERS = 10_000;

function layersOf(file: GgufReader): number {
  return Math.min(file.count('block_count'), MAX_LAYERS);
}

/** Projections of a layer by their last name, with Hugging Face's path and GGUF's name. */
const PROJECTIONS = {
  q_proj: ['self_attn.q_proj', 'attn_q'],
  k_proj: ['self_attn.k_proj', 'attn_k'],
  v_proj: ['self_attn.v_proj', 'attn_v'],
  o_proj: ['self_attn.o_proj', 'attn_output'],
  gate_proj: ['mlp.gate_proj', 'ffn_gate'],
  up_proj: ['mlp.up_proj', 'ffn_up'],
  down_proj: ['mlp.down_proj', 'ffn_down'],
} as const;

export type Projection = keyof typeof PROJECTIONS;

export const ATTENTION_PROJECTIONS = ['q_proj', 'k_proj', 'v_proj', 'o_proj'] as const;
export const MLP_PROJECTIONS = ['gate_proj', 'up_proj', 'down_proj'] as const;

export type GgufNumber = readonly [key: string, type: 'u32' | 'f32', fallback: number];

/** How a rotary decoder's GGUF form differs from that of other families. */
export interface RotaryGguf<C extends RotaryDecoderConfig> {
  readonly architecture: string;
  readonly recognizes?: (file: GgufReader) => boolean;
  /** Norms of a layer: Hugging Face's names and GGUF's. Default before both branches. */
  readonly norms?: Readonly<Record<string, string>>;
  /** Whether queries and keys are normalized per head. */
  readonly headNorms?: boolean;
  /** Whether all norms are stored with 1 added. */
  readonly normsPlusOne?: boolean;
  /** Whether rows of queries and keys are stored as interleaved pairs. */
  readonly rotaryRows?: boolean;
  /** Projections that may have biases. */
  readonly biases?: readonly Projection[];
  /** Whether a missing bias is zero if its weight is present. */
  readonly optionalBiases?: boolean;
  /** Whether llama.cpp reads `rope_freqs.weight`, GGUF's form of Llama 3.1's scaling. */
  readonly rotaryDivisors?: boolean;
  /** Whether llama.cpp always uses the embedding as the head. */
  readonly alwaysTied?: boolean;
  /** Which layers are local by llama.cpp's rule. By default all are global. */
  readonly isLocal?: (index: number, layers: number) => boolean;
  /** Numeric fields of config.json: key, type, and the value for files without the key. None may be null. */
  readonly settings?: Readonly<Record<string, GgufNumber>>;
  /** Keys that may only have this value or, if it is null, must be absent. */
  readonly only?: Readonly<Record<string, number | null>>;
  /** Metadata beyond that of all rotary decoders. @param refused makes the error for what llama.cpp cannot run. */
  readonly write?: (config: C, refused: RefuseGguf) => GgufSetting[];
  /** Fields of config.json beyond those of all rotary decoders. */
  readonly read?: (file: GgufReader) => Record<string, unknown>;
}

/** The GGUF form of a family whose config is a {@link RotaryDecoderConfig} and whose names are `rotaryNames`. */
export function rotaryGguf<C extends RotaryDecoderConfig>(form: RotaryGguf<C>): GgufForm<C> {
  const { architecture, recognizes, optionalBiases } = form;
  const numbers = Object.entries(form.settings ?? {});
  return {
    architecture,
    ...(recognizes && { recognizes }),
    ...(optionalBiases && { optionalBiases }),
    ...(form.rotaryDivisors && { rotaryDivisors }),
    tensors: tensorsOf(form),
    write(config, refused) {
      if (form.alwaysTied && !config.tie_word_embeddings) {
        throw refused('its output head has its own weights ("tie_word_embeddings" is false)');
      }
      if (!form.rotaryDivisors && config.rope_scaling?.rope_type === 'llama3') {
        throw refused('it rescales rotary frequencies by "llama3"');
      }
      checkLayerTypes(config, form.isLocal, refused);
      return [
        ...settingsOf(config, refused),
        ...(form.write?.(config, refused) ?? []),
        ...numbers.map(([field, [key, type]]): GgufSetting => {
          const value = config[field as keyof C] as number | null;
          if (value === null) throw refused(`"${field}" is null`);
          return [key, type, value];
        }),
      ];
    },
    read: (file) => ({
      ...readFields(file, form.only),
      ...Object.fromEntries(
        numbers.map(([field, [key, type, fallback]]) => [
          field,
          type === 'u32' ? file.count(key, fallback) : file.number(key, fallback),
        ]),
      ),
      ...(form.isLocal && { layer_types: typesOf(layersOf(file), form.isLocal) }),
      ...form.read?.(file),
    }),
  };
}

function tensorsOf<C extends RotaryDecoderConfig>(form: RotaryGguf<C>) {
  const { norms = { input_layernorm: 'attn_norm', post_attention_layernorm: 'ffn_norm' }, biases = [] } =
    form;
  const norm = form.normsPlusOne ? 'plus one' : 'same';
  const layer = (ours: string) => `model.layers.{n}.${ours}`;
  const projections = (names: readonly Projection[]): GgufRows =>
    names.map((name) => {
      const [ours, theirs] = PROJECTIONS[name];
      const turns = form.rotaryRows && (name === 'q_proj' || name === 'k_proj');
      return [layer(ours), `blk.{n}.${theirs}`, turns ? 'rotary rows' : 'same'];
    });
  const headNorms: GgufRows = [
    [layer('self_attn.q_norm'), 'blk.{n}.attn_q_norm', norm],
    [layer('self_attn.k_norm'), 'blk.{n}.attn_k_norm', norm],
  ];
  return [
    ...ggufTensors([
      ['model.embed_tokens', 'token_embd'],
      ['lm_head', 'output'],
      ['model.norm', 'output_norm', norm],
      ...Object.entries(norms).map(([ours, theirs]) => [layer(ours), `blk.{n}.${theirs}`, norm] as const),
      ...(form.headNorms ? headNorms : []),
      ...projections([...ATTENTION_PROJECTIONS, ...MLP_PROJECTIONS]),
    ]),
    ...ggufTensors(projections(biases), ['bias']),
  ];
}

function typesOf(
  layers: number,
  isLocal: RotaryGguf<RotaryDecoderConfig>['isLocal'] = () => false,
): LayerType[] {
  return layerTypes(layers, (index) => isLocal(index, layers));
}

/** llama.cpp derives layer types from a rule per architecture, not from the file. */
function checkLayerTypes(
  config: RotaryDecoderConfig,
  isLocal: RotaryGguf<RotaryDecoderConfig>['isLocal'],
  refused: RefuseGguf,
): void {
  const { layer_types: types = [] } = config as { readonly layer_types?: readonly LayerType[] };
  const rule = typesOf(types.length, isLocal);
  const wrong = types.findIndex((type, index) => type !== rule[index]);
  if (wrong < 0) return;
  throw refused(`"layer_types" do not match what llama.cpp assumes: layer ${wrong} would be ${rule[wrong]}`);
}

function settingsOf(c: RotaryDecoderConfig, refused: RefuseGguf): GgufSetting[] {
  return [
    ['context_length', 'u32', c.max_position_embeddings],
    ['embedding_length', 'u32', c.hidden_size],
    ['block_count', 'u32', c.num_hidden_layers],
    ['feed_forward_length', 'u32', c.intermediate_size],
    ['attention.head_count', 'u32', c.num_attention_heads],
    ['attention.head_count_kv', 'u32', c.num_key_value_heads],
    ['attention.key_length', 'u32', c.head_dim],
    ['attention.value_length', 'u32', c.head_dim],
    ['attention.layer_norm_rms_epsilon', 'f32', c.rms_norm_eps],
    ['rope.dimension_count', 'u32', c.head_dim],
    ['rope.freq_base', 'f32', c.rope_theta],
    ...ggufScaling(c.rope_scaling, refused),
  ];
}

function readFields(file: GgufReader, only: RotaryGguf<RotaryDecoderConfig>['only'] = {}) {
  for (const [key, value] of Object.entries(only)) {
    if (!file.has(key) || file.value(key) === value) continue;
    throw file.error(`"${key}" other than ${value ?? 'none'} is not supported; run the file with llama.cpp.`);
  }
  const experts = file.value('expert_count');
  if (experts !== undefined && experts !== 0)
    throw file.error(`a mixture of ${String(experts)} experts is not supported.`);
  const heads = file.sameCount('attention.head_count');
  const headDim = ggufHeadDim(file);
  return {
    hidden_size: file.count('embedding_length'),
    intermediate_size: file.sameCount('feed_forward_length'),
    num_hidden_layers: file.count('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: file.sameCount('attention.head_count_kv', heads),
    head_dim: headDim,
    max_position_embeddings: file.count('context_length'),
    rms_norm_eps: file.number('attention.layer_norm_rms_epsilon'),
    // The format's default, which files of models with this value leave out.
    rope_theta: file.number('rope.freq_base', 10000),
    rope_scaling: readGgufScaling(file, headDim),
  };
}

/** The head size; keys, values and the rotated part must agree. */
export function ggufHeadDim(file: GgufReader): number {
  const heads = file.sameCount('attention.head_count');
  const size = file.sameCount('attention.key_length', file.count('embedding_length') / heads);
  const values = file.sameCount('attention.value_length', size);
  if (values !== size)
    throw file.error(`heads with keys of size ${size} and values of size ${values} are not supported.`);
  const turned = file.count('rope.dimension_count', size);
  if (turned !== size) {
    throw file.error(
      `RoPE rotates ${turned} of ${size} dimensions of a head; partial rotation is not supported.`,
    );
  }
  return size;
}

/** Whether any layer of a file has a bias on one of these projections. */
export function ggufHasBias(file: GgufReader, projections: readonly Projection[]): boolean {
  return Array.from({ length: layersOf(file) }).some((_, layer) =>
    projections.some((name) => file.hasTensor(`blk.${layer}.${PROJECTIONS[name][1]}.bias`)),
  );
}
