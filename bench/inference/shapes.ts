import { type LlamaConfig, llama } from '../../src/families/llama.ts';

const common = {
  ...llama.presets['llama-3.2-1b']!.config,
  // GGUF files store rescaled frequencies as a separate tensor; speed does not depend on it.
  rope_scaling: null,
  max_position_embeddings: 8192,
  head_dim: 64,
  tie_word_embeddings: true,
};

/** SmolLM2-135M: small products, 210 per token. */
export const smol: LlamaConfig = {
  ...common,
  vocab_size: 49152,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  rope_theta: 1e5,
};

/** Llama-3.2-1B: limited by memory bandwidth. */
export const oneB: LlamaConfig = {
  ...common,
  vocab_size: 128256,
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 16,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  rope_theta: 5e5,
};
