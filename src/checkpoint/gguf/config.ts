import { rescaleRotary } from '../../nn/positions.ts';
import type { GgufMetadata } from './metadata.ts';

type RawConfig = Record<string, unknown>;

/** What a configuration needs to know of the tensors. */
export interface TensorFacts {
  has(name: string): boolean;
  /** Rows of token_embd.weight. */
  readonly vocabSize: number;
  /** rope_freqs.weight: what each rotary frequency is divided by. */
  readonly rotaryDivisors: Float32Array | undefined;
}

/** config.json's words by `general.architecture`. */
const ARCHITECTURES: Readonly<Record<string, (metadata: GgufMetadata, tensors: TensorFacts) => RawConfig>> = {
  llama: (m, tensors) => ({
    architectures: ['LlamaForCausalLM'],
    ...rotaryDecoder('llama', m, tensors),
    hidden_act: 'silu',
    attention_bias: tensors.has('blk.0.attn_q.bias'),
    mlp_bias: tensors.has('blk.0.ffn_up.bias'),
    rope_scaling: readScaling(m, tensors),
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
    ...common('gpt2', m, tensors),
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
  const make = ARCHITECTURES[metadata.architecture];
  if (!make) {
    throw metadata.error(
      `its architecture is "${metadata.architecture.slice(0, 60)}"; Ropewalk runs ${Object.keys(ARCHITECTURES).join(', ')}.`,
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

function common(modelType: string, m: GgufMetadata, tensors: TensorFacts): RawConfig {
  return {
    model_type: modelType,
    vocab_size: tensors.vocabSize,
    tie_word_embeddings: !tensors.has('output.weight'),
    bos_token_id: m.tokenId('tokenizer.ggml.bos_token_id') ?? null,
    eos_token_id: m.tokenId('tokenizer.ggml.eos_token_id') ?? null,
    pad_token_id: m.tokenId('tokenizer.ggml.padding_token_id') ?? null,
  };
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
  const scaling = m.text('{arch}.rope.scaling.type', 'none');
  if (scaling !== 'none')
    throw m.error(`RoPE scaling of the type "${scaling.slice(0, 40)}" is not supported.`);
  return {
    ...common(modelType, m, tensors),
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
  };
}

/**
 * Llama 3.1's rescaling, which GGUF stores as a divisor for each frequency. The divisors say the factor (the largest of
 * them); the other three numbers are the same in all published models and are checked against the divisors.
 */
function readScaling(m: GgufMetadata, { rotaryDivisors }: TensorFacts): RawConfig | null {
  if (!rotaryDivisors || rotaryDivisors.every((divisor) => divisor === 1)) return null;
  const theta = m.number('{arch}.rope.freq_base', 10000);
  const size = headDim(m);
  const factor = shortDecimal(rotaryDivisors.reduce((most, divisor) => Math.max(most, divisor), 0));
  for (const original of [8192, 4096, 2048, 16384, 32768, 65536, 131072]) {
    const scaling = {
      rope_type: 'llama3',
      factor,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: original,
    } as const;
    const fits = rotaryDivisors.every((divisor, i) => {
      const frequency = theta ** (-(2 * i) / size);
      return Math.abs(frequency / rescaleRotary(frequency, scaling) / divisor - 1) < 1e-4;
    });
    if (fits && rotaryDivisors.length === size / 2) return scaling;
  }
  throw m.error('its rope_freqs.weight is not the rescaling of Llama 3.1; other scalings are not supported.');
}

function shortDecimal(value: number): number {
  return Number(value.toPrecision(6));
}
