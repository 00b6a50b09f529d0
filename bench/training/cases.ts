import type { CommonConfig } from '../../src/families/config.ts';
import type { Family } from '../../src/families/family.ts';
import { type LlamaConfig, llama } from '../../src/families/llama.ts';
import { families } from '../../src/families/registry.ts';
import { smol } from '../inference/shapes.ts';

/** A training case: a model's shape and the rows of one step. */
export interface Case {
  readonly name: string;
  readonly title: string;
  readonly family: Family;
  readonly config: CommonConfig;
  readonly batch: number;
  readonly seq: number;
}

/** The Llama of the design notes: 30.7M parameters. */
const small: LlamaConfig = {
  ...llama.presets.tiny!.config,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 6,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  head_dim: 64,
  vocab_size: 8192,
  tie_word_embeddings: false,
};

/** `rows` sets the batch and length for the tiny presets: `npm start` trains with 4 × 64. */
export function casesOf(rows: { readonly batch: number; readonly seq: number }): Case[] {
  const tiny = families.map((family) => {
    const { config } = family.presets.tiny!;
    return { name: `${family.name}-tiny`, title: `${family.title}, tiny preset`, family, config, ...rows };
  });
  const large = { family: llama as Family, batch: 4, seq: 256 };
  // SmolLM2's tokens: valid ids, which are not used here.
  const config = { ...smol, bos_token_id: 1, eos_token_id: [2], initializer_range: 0.04 };
  return [
    { name: 'smol', title: 'SmolLM2-135M', config, ...large },
    ...tiny,
    { name: 'small', title: '30.7M-parameter Llama', config: small, ...large },
  ];
}

/** The number of different batches, which then repeat. */
export const BATCHES = 8;

/**
 * The same batch for every contender: a row has one token more than positions, which provides the targets.
 *
 * @returns ids `[batch, seq + 1]`.
 */
export function batchIds(
  step: number,
  { batch, seq }: { batch: number; seq: number },
  vocab: number,
): Int32Array {
  const shift = (step % BATCHES) * 104729;
  return Int32Array.from({ length: batch * (seq + 1) }, (_, i) => (i * 7919 + shift + 11) % vocab);
}
