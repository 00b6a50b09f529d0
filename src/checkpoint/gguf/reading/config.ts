import {
  type Llama3Scaling,
  type RopeScaling,
  rescaleRotary,
  yarnMagnitude,
} from '../../../nn/rope-scaling.ts';
import { quote } from '../../safetensors/header.ts';
import type { SpecialIds } from '../tokenizer/special-ids.ts';
import type { GgufMetadata } from './metadata.ts';

type RawConfig = Record<string, unknown>;

/** More than any model has; a file may claim billions. */
const MAX_LAYERS = 10_000;

/** What a configuration needs to know of the tensors. */
export interface TensorFacts {
  has(name: string): boolean;
  /** Rows of token_embd.weight. */
  readonly vocabSize: number;
  /** Ids of special tokens. */
  readonly tokenIds: SpecialIds;
  /** rope_freqs.weight: what each rotary frequency is divided by. */
  readonly rotaryDivisors: Float32Array | undefined;
  /** Takes what the file says and nobody follows, a sentence. */
  warn(warning: string): void;
}

/** config.json's words by `general.architecture`. */
const ARCHITECTURES: Readonly<Record<string, (metadata: GgufMetadata, tensors: TensorFacts) => RawConfig>> = {
  llama: (m, tensors) => ({
    architectures: ['LlamaForCausalLM'],
    ...rotaryDecoder('llama', m, tensors),
    hidden_act: 'silu',
    attention_bias: hasBias(m, tensors, ['attn_q', 'attn_k', 'attn_v', 'attn_output']),
    mlp_bias: hasBias(m, tensors, ['ffn_gate', 'ffn_up', 'ffn_down']),
  }),
  gemma: (m, tensors) => ({
    architectures: ['GemmaForCausalLM'],
    ...rotaryDecoder('gemma', m, tensors),
    hidden_activation: 'gelu_pytorch_tanh',
  }),
  gemma2: (m, tensors) => ({
    architectures: ['Gemma2ForCausalLM'],
    ...rotaryDecoder('gemma2', m, tensors),
    hidden_activation: 'gelu_pytorch_tanh',
    attn_logit_softcapping: m.number('{arch}.attn_logit_softcapping', 50),
    final_logit_softcapping: m.number('{arch}.final_logit_softcapping', 30),
    sliding_window: m.count('{arch}.attention.sliding_window', 4096),
    query_pre_attn_scalar: gemma2QueryScalar(
      m.count('{arch}.block_count'),
      m.count('{arch}.embedding_length'),
      m.sameCount('{arch}.attention.head_count'),
      headDim(m),
    ),
  }),
  gpt2: (m, tensors) => ({
    architectures: ['GPT2LMHeadModel'],
    ...common('gpt2', tensors),
    activation_function: 'gelu_new',
    n_embd: m.count('{arch}.embedding_length'),
    n_layer: m.count('{arch}.block_count'),
    n_head: m.sameCount('{arch}.attention.head_count'),
    n_positions: m.count('{arch}.context_length'),
    n_inner: m.sameCount('{arch}.feed_forward_length'),
    layer_norm_epsilon: m.number('{arch}.attention.layer_norm_epsilon'),
    resid_pdrop: 0,
    embd_pdrop: 0,
    attn_pdrop: 0,
  }),
};

/**
 * A model's config.json from the metadata of a GGUF file.
 *
 * @throws RopewalkError naming the key that is missing, wrong or not supported.
 */
export function configFromGguf(metadata: GgufMetadata, tensors: TensorFacts): RawConfig {
  const { architecture } = metadata;
  const make = Object.hasOwn(ARCHITECTURES, architecture) ? ARCHITECTURES[architecture] : undefined;
  if (!make) {
    throw metadata.error(
      `its architecture is ${quote(architecture)}; Ropewalk runs ${Object.keys(ARCHITECTURES).join(', ')}.`,
    );
  }
  return make(metadata, tensors);
}

/**
 * Gemma 2's `query_pre_attn_scalar`, which GGUF does not have: llama.cpp derives it from the size. The 27B model (46
 * layers) has the hidden size over the heads, the others the head's size.
 */
export function gemma2QueryScalar(layers: number, hidden: number, heads: number, headDim: number): number {
  return layers === 46 ? hidden / heads : headDim;
}

function common(modelType: string, tensors: TensorFacts): RawConfig {
  return {
    model_type: modelType,
    vocab_size: tensors.vocabSize,
    tie_word_embeddings: !tensors.has('output.weight'),
    bos_token_id: tensors.tokenIds.bos ?? null,
    eos_token_id: tensors.tokenIds.eos ?? null,
    pad_token_id: tensors.tokenIds.padding ?? null,
  };
}

/** Whether any layer has a bias of these; each is optional, and zero where it is missing. */
function hasBias(m: GgufMetadata, tensors: TensorFacts, names: readonly string[]): boolean {
  const layers = m.count('{arch}.block_count');
  for (let layer = 0; layer < Math.min(layers, MAX_LAYERS); layer++) {
    if (names.some((name) => tensors.has(`blk.${layer}.${name}.bias`))) return true;
  }
  return false;
}

function headDim(m: GgufMetadata): number {
  const heads = m.sameCount('{arch}.attention.head_count');
  const size = m.sameCount('{arch}.attention.key_length', m.count('{arch}.embedding_length') / heads);
  const values = m.sameCount('{arch}.attention.value_length', size);
  if (values !== size)
    throw m.error(`keys of ${size} and values of ${values} numbers a head are not supported.`);
  const turned = m.count('{arch}.rope.dimension_count', size);
  if (turned !== size) {
    throw m.error(`RoPE turns ${turned} of ${size} numbers of a head; only all of them are supported.`);
  }
  return size;
}

function rotaryDecoder(modelType: string, m: GgufMetadata, tensors: TensorFacts): RawConfig {
  const experts = m.value('{arch}.expert_count');
  if (experts !== undefined && experts !== 0)
    throw m.error(`a mixture of ${String(experts)} experts is not supported.`);
  return {
    ...common(modelType, tensors),
    hidden_size: m.count('{arch}.embedding_length'),
    intermediate_size: m.sameCount('{arch}.feed_forward_length'),
    num_hidden_layers: m.count('{arch}.block_count'),
    num_attention_heads: m.sameCount('{arch}.attention.head_count'),
    num_key_value_heads: m.sameCount(
      '{arch}.attention.head_count_kv',
      m.sameCount('{arch}.attention.head_count'),
    ),
    head_dim: headDim(m),
    max_position_embeddings: m.count('{arch}.context_length'),
    rms_norm_eps: m.number('{arch}.attention.layer_norm_rms_epsilon'),
    // The format's own default, which files of models with this value leave out.
    rope_theta: m.number('{arch}.rope.freq_base', 10000),
    rope_scaling: readScaling(m, tensors),
  };
}

/**
 * The scaling by its type; without a type a factor, also that of the old key `rope.scale_linear`, is linear, as llama.cpp
 * reads it, and a factor of 0 is none.
 */
function readScaling(m: GgufMetadata, tensors: TensorFacts): RopeScaling | null {
  const type = m.text('{arch}.rope.scaling.type', 'linear');
  if (type !== 'none' && type !== 'linear' && type !== 'yarn') {
    throw m.error(`RoPE scaling of the type ${quote(type)} is not supported; run the file with llama.cpp.`);
  }
  const llama3 = readDivisors(m, tensors);
  const old = m.number('{arch}.rope.scale_linear', 0);
  const factor = type === 'none' ? 1 : m.number('{arch}.rope.scaling.factor', old) || 1;
  if (factor < 0) throw m.error(`the factor of its RoPE scaling is ${factor}; it must be above 0.`);
  if (type === 'yarn') {
    if (llama3) throw m.error('it has both YaRN and rope_freqs.weight, which is not supported.');
    return readYarn(m, factor, tensors);
  }
  if (m.number('{arch}.rope.scaling.attn_factor', 1) !== 1)
    throw m.error('"rope.scaling.attn_factor" without YaRN is not supported; run the file with llama.cpp.');
  if (factor === 1) return llama3;
  if (llama3) {
    throw m.error(
      `it divides frequencies both by ${factor} and by rope_freqs.weight, which is not supported.`,
    );
  }
  return { rope_type: 'linear', factor };
}

/** YaRN's bounds in llama.cpp, which reads others from files of other architectures alone. */
export const YARN_BOUNDS = { beta_fast: 32, beta_slow: 1 } as const;

/** llama.cpp multiplies cos and sin by 0.1 · ln(factor) + 1 and by the factor of attention. */
function readYarn(m: GgufMetadata, factor: number, { warn }: TensorFacts): RopeScaling {
  for (const key of ['yarn_log_multiplier', 'yarn_ext_factor', 'yarn_attn_factor']) {
    if (m.has(`{arch}.rope.scaling.${key}`))
      throw m.error(`"rope.scaling.${key}" is not supported; run the file with llama.cpp.`);
  }
  for (const [name, bound] of Object.entries(YARN_BOUNDS)) {
    const own = m.number(`{arch}.rope.scaling.yarn_${name}`, bound);
    if (own !== bound)
      warn(
        `"rope.scaling.yarn_${name}" is ${own}, and ${bound} is taken, as in llama.cpp, which does not read it for this architecture.`,
      );
  }
  return {
    ...{ rope_type: 'yarn', factor },
    original_max_position_embeddings: m.count(
      '{arch}.rope.scaling.original_context_length',
      m.count('{arch}.context_length'),
    ),
    attention_factor: yarnMagnitude(factor) * m.number('{arch}.rope.scaling.attn_factor', 1),
    ...YARN_BOUNDS,
    truncate: true,
  };
}

/** Llama 3.1's rescaling, which GGUF stores as a divisor for each frequency. */
function readDivisors(m: GgufMetadata, { rotaryDivisors }: TensorFacts): Llama3Scaling | null {
  if (!rotaryDivisors || rotaryDivisors.every((divisor) => divisor === 1)) return null;
  const theta = m.number('{arch}.rope.freq_base', 10000);
  const size = headDim(m);
  const frequencies = Array.from({ length: size / 2 }, (_, i) => theta ** (-(2 * i) / size));
  const scaling = rotaryDivisors.length === size / 2 && scalingOf(frequencies, rotaryDivisors);
  if (!scaling) {
    throw m.error(
      'its rope_freqs.weight is not the rescaling of Llama 3.1; other scalings are not supported.',
    );
  }
  return scaling;
}

/**
 * The rescaling that divides frequencies so; undefined where none does. The slowest are divided by the factor, the
 * fastest by 1, and between them a line over the frequency blends the two. It says two of the three other numbers, of
 * which only the ratios matter: low_freq_factor is 1, as in all published models.
 */
export function scalingOf(
  frequencies: readonly number[],
  divisors: ArrayLike<number>,
): Llama3Scaling | undefined {
  const factor = shortDecimal(Array.from(divisors).reduce((most, divisor) => Math.max(most, divisor), 0));
  // How much of a frequency is kept: (original · frequency / 2π − low) / (high − low).
  const points = frequencies.map((frequency, i) => ({
    frequency,
    kept: (1 / divisors[i]! - 1 / factor) / (1 - 1 / factor),
  }));
  const [fastest, ...others] = points.filter(({ kept }) => kept > 1e-6 && kept < 1 - 1e-6);
  const slowest = others.at(-1);
  const candidates: { high: number; original: number }[] = [];
  if (fastest) {
    candidates.push({ high: 4, original: (2 * Math.PI * (1 + 3 * fastest.kept)) / fastest.frequency });
  }
  if (fastest && slowest) {
    const slope = (fastest.kept - slowest.kept) / (fastest.frequency - slowest.frequency);
    const high = 1 + 1 / (slope * fastest.frequency - fastest.kept);
    candidates.push({ high, original: 2 * Math.PI * slope * (high - 1) });
  }
  if (!fastest) {
    // Nothing is blended: any length between the last that is kept and the first that is not.
    const wave = (index: number) => (2 * Math.PI) / (frequencies[index] ?? Number.POSITIVE_INFINITY);
    const first = points.findIndex(({ kept }) => kept < 0.5);
    candidates.push({ high: 4, original: Math.max(1, (4 * wave(first - 1) + wave(first)) / 2) });
  }
  // Published numbers are short; others are taken as they come.
  const forms = [shortDecimal, (value: number) => value];
  for (const [{ high, original }, form] of candidates.flatMap((c) => forms.map((f) => [c, f] as const))) {
    const whole = Math.round(original);
    const scaling = {
      rope_type: 'llama3',
      factor,
      low_freq_factor: form(whole / original),
      high_freq_factor: form((high * whole) / original),
      original_max_position_embeddings: whole,
    } as const;
    const fits = frequencies.every(
      (frequency, i) => Math.abs(frequency / rescaleRotary(frequency, scaling) / divisors[i]! - 1) < 1e-5,
    );
    if (whole >= 1 && high > 1 && fits) return scaling;
  }
  return undefined;
}

function shortDecimal(value: number): number {
  return Number(value.toPrecision(5));
}
