import fc from 'fast-check';
import type { CausalLM, Family } from '../../src/families/family.ts';
import { families, modelFromConfig } from '../../src/families/registry.ts';
import { type Decoder, fullLogitsGraph } from '../../src/generation/decoder.ts';
import type { WeightSource } from '../../src/onnx/emit.ts';
import { Random } from '../../src/random.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import { Executable } from '../../src/runtime/executable.ts';

export const engine = nodeEngine({ threads: 1 });
export const POSITIONS = 160;

export type RawConfig = Record<string, unknown>;

export function build(raw: RawConfig): CausalLM {
  return modelFromConfig(raw, 'the test').model;
}

/** Weights large enough that attention is sharp and soft-caps bite. */
export function randomWeights(model: CausalLM, seed: number): Map<string, WeightSource> {
  const random = new Random(seed);
  return new Map(
    [...model.parameters()].map(([path, { size, shape }]) => {
      const scale = shape.length < 2 ? 0.3 : 1.5 / Math.sqrt(shape.at(-1)!);
      return [path, { data: Float32Array.from({ length: size }, () => scale * random.nextGaussian()) }];
    }),
  );
}

export function randomIds(count: number, vocab: number, seed: number): Int32Array {
  const random = new Random(seed);
  return Int32Array.from({ length: count }, () => random.nextInt(vocab));
}

export async function fullLogits(model: CausalLM, weights: Map<string, WeightSource>, ids: Int32Array) {
  const executable = await Executable.compile(engine, fullLogitsGraph(model, 1, ids.length), { weights });
  const { logits } = await executable.run({ input_ids: { data: ids, shape: [ids.length] } });
  await executable.release();
  return logits!.data as Float32Array;
}

/** Logits of all tokens through a new cache, in chunks of the given sizes, again and again. */
export async function cachedLogits(decoder: Decoder, ids: Int32Array, chunks: readonly number[]) {
  const { vocab_size: vocab } = decoder.model.config;
  const cache = decoder.newCache();
  const logits = new Float32Array(ids.length * vocab);
  for (let start = 0, i = 0; start < ids.length; i++) {
    const end = Math.min(ids.length, start + chunks[i % chunks.length]!);
    logits.set(await decoder.forward(ids.subarray(start, end), cache, 'all'), start * vocab);
    start = end;
  }
  return { logits, cache };
}

const size = (...values: number[]) => fc.constantFrom(...values);

const gptSizes = fc.record({ n_head: size(1, 2, 3), width: size(2, 6, 8), n_layer: size(1, 2, 3) });
const sizes = fc.record({
  vocab_size: size(11, 30),
  hidden_size: size(6, 8, 20),
  intermediate_size: size(5, 16),
  num_hidden_layers: size(1, 2, 3),
  num_key_value_heads: size(1, 2, 3),
  group: size(1, 2, 4),
  // Multiples of 8 go another way in the engine.
  head_dim: size(2, 8, 10, 16),
  tie_word_embeddings: fc.boolean(),
  rope_theta: size(100, 10000),
});

export const common = { max_position_embeddings: POSITIONS, rms_norm_eps: 1e-5 };
const withHeads = <T extends { num_key_value_heads: number; group: number }>(drawn: T) => ({
  ...common,
  ...drawn,
  num_attention_heads: drawn.num_key_value_heads * drawn.group,
});

/** Those of the families whose fields are not the usual ones, or mean more together. */
const own: Readonly<Record<string, fc.Arbitrary<RawConfig>>> = {
  gpt: gptSizes.map(({ n_head, width, n_layer }) => ({
    model_type: 'ctrl',
    vocab_size: 13,
    n_embd: n_head * width,
    dff: 9,
    n_layer,
    n_head,
    n_positions: POSITIONS,
    layer_norm_epsilon: 1e-6,
  })),
  gpt2: fc
    .record({ sizes: gptSizes, n_inner: fc.constantFrom(null, 7), tie_word_embeddings: fc.boolean() })
    .map(({ sizes: { n_head, width, n_layer }, n_inner, tie_word_embeddings }) => ({
      model_type: 'gpt2',
      vocab_size: 17,
      n_embd: n_head * width,
      n_inner,
      n_layer,
      n_head,
      n_positions: POSITIONS,
      layer_norm_epsilon: 1e-5,
      tie_word_embeddings,
    })),
  gemma: sizes.map((drawn) => ({ model_type: 'gemma', ...withHeads(drawn) })),
  gemma2: fc
    .record({
      drawn: sizes,
      window: fc.integer({ min: 1, max: 12 }),
      locals: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
      attn_logit_softcapping: fc.constantFrom(null, 0.8, 4),
      final_logit_softcapping: fc.constantFrom(null, 1.5, 30),
      query_pre_attn_scalar: size(1, 7, 24),
    })
    .map(({ drawn, window, locals, ...rest }) => ({
      model_type: 'gemma2',
      ...withHeads(drawn),
      ...rest,
      sliding_window: window,
      layer_types: locals
        .slice(0, drawn.num_hidden_layers)
        .map((local) => (local ? 'sliding_attention' : 'full_attention')),
    })),
  llama: fc
    .record({ drawn: sizes, scaled: fc.boolean(), attention_bias: fc.boolean(), mlp_bias: fc.boolean() })
    .map(({ drawn: { rope_theta, ...drawn }, scaled, ...rest }) => ({
      model_type: 'llama',
      ...withHeads(drawn),
      ...rest,
      rope_parameters: {
        rope_theta,
        ...(scaled && {
          rope_type: 'llama3',
          factor: 8,
          low_freq_factor: 1,
          high_freq_factor: 4,
          original_max_position_embeddings: 24,
        }),
      },
    })),
};

const multiplier = fc.constantFrom(0.3, 1, 2.5);

/** Fields that a family has beside the usual ones. */
const varied: Readonly<Record<string, Readonly<Record<string, fc.Arbitrary<unknown>>>>> = {
  qwen2: { use_sliding_window: fc.boolean() },
  qwen3: { use_sliding_window: fc.boolean(), attention_bias: fc.boolean() },
  gemma3: {
    query_pre_attn_scalar: size(1, 7, 24),
    final_logit_softcapping: fc.constantFrom(null, 1.5),
    attention_bias: fc.boolean(),
    rope_parameters: fc
      .record({ global: size(100, 10000), local: size(50, 700), factor: size(1, 8) })
      .map(({ global, local, factor }) => ({
        full_attention: { rope_type: 'linear', factor, rope_theta: global },
        sliding_attention: { rope_type: 'default', rope_theta: local },
      })),
  },
  hyperclovax: {
    embedding_multiplier: multiplier,
    attention_multiplier: fc.constantFrom(null, 0.2, 1),
    residual_multiplier: multiplier,
    logits_scaling: multiplier,
    use_post_norm: fc.boolean(),
    attention_bias: fc.boolean(),
    mlp_bias: fc.boolean(),
  },
};

/** The tiny preset with other sizes; where it has windows or kinds of layers, those too. */
function fromPreset(family: Family): fc.Arbitrary<RawConfig> {
  const { rope_scaling: _, rope_theta: __, ...preset } = family.writeConfig(family.presets.tiny!.config);
  return fc
    .record({
      drawn: sizes,
      window: fc.option(fc.integer({ min: 1, max: 12 }), { freq: 4 }),
      locals: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
      own: fc.record(varied[family.name] ?? {}) as fc.Arbitrary<RawConfig>,
    })
    .map(({ drawn: { rope_theta, ...drawn }, window, locals, own }) => {
      // Only these models need one.
      const always = family.name === 'gemma3' ? 6 : null;
      const sliding_window = 'sliding_window' in preset ? (window ?? always) : null;
      const slides = sliding_window !== null && own.use_sliding_window !== false;
      return {
        ...preset,
        rope_parameters: { rope_type: 'default', rope_theta },
        ...withHeads(drawn),
        ...own,
        ...('sliding_window' in preset && { sliding_window }),
        ...('layer_types' in preset && {
          layer_types: locals
            .slice(0, drawn.num_hidden_layers)
            .map((local) => (local && slides ? 'sliding_attention' : 'full_attention')),
        }),
      };
    });
}

/** Random configurations of each family, in Hugging Face's terms. */
export const configurations: Readonly<Record<string, fc.Arbitrary<RawConfig>>> = Object.fromEntries(
  families.map((family) => [family.name, own[family.name] ?? fromPreset(family)]),
);

export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of source) all.push(one);
  return all;
}
