import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ggufForm } from '../../src/checkpoint/gguf/forms.ts';
import { toGguf } from '../../src/checkpoint/gguf/names.ts';
import type { GgmlType } from '../../src/checkpoint/gguf/types.ts';
import { entriesFromConfig } from '../../src/checkpoint/gguf/writing/entries.ts';
import { quantize } from '../../src/checkpoint/gguf/writing/quantize.ts';
import { familyByName } from '../../src/families/registry.ts';
import { randomBlocks, rawGguf } from './raw-gguf.ts';

/** Types of quantized weights. */
export const TYPES = ['Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q4_K', 'Q5_K', 'Q6_K'] as const;
export const VOCABULARY = 64;

/** Sizes of which every row is whole blocks of 256, and heads that differ from the width. */
export const CONFIGS: Readonly<Record<string, Record<string, unknown>>> = {
  llama: { num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64 },
  gemma: { num_attention_heads: 4, num_key_value_heads: 1, head_dim: 64 },
  gemma2: {
    ...{ num_attention_heads: 4, num_key_value_heads: 2, head_dim: 128, query_pre_attn_scalar: 128 },
    ...{ sliding_window: 5, attn_logit_softcapping: 50, final_logit_softcapping: 30 },
  },
  gpt2: { n_embd: 256, n_layer: 2, n_head: 4, n_positions: 32, n_inner: 512, layer_norm_epsilon: 1e-5 },
};

function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A model of random weights; where they are quantized, their stored bytes by the names of the weights. */
export function writeRandomGguf(
  folder: string,
  name: string,
  type: GgmlType,
): { path: string; bytes: Map<string, Uint8Array> } {
  const random = randomNumbers(TYPES.indexOf(type as 'Q8_0') + 11);
  const family = familyByName(name);
  const raw = {
    ...{ model_type: family.modelType, vocab_size: VOCABULARY, hidden_size: 256, intermediate_size: 512 },
    ...{ num_hidden_layers: 2, max_position_embeddings: 32, rms_norm_eps: 1e-5, rope_theta: 10000 },
    ...{ tie_word_embeddings: name !== 'llama', ...CONFIGS[name] },
  };
  const config = family.readConfig(raw, 'the test');
  const form = ggufForm(family, 'the test');
  const bytes = new Map<string, Uint8Array>();
  const tensors = [...family.build(config).parameters()].map(([path, parameter]) => {
    const { name: stored, transform } = toGguf(form, path)!;
    const shape = transform === 'transposed' ? parameter.shape.toReversed() : parameter.shape;
    const count = parameter.size;
    if (shape.length === 2 && stored !== 'position_embd.weight') {
      const data = randomBlocks(type, count, random, type.endsWith('K') ? 0x0200 : 0x1000);
      bytes.set(path, data);
      return { name: stored, shape, type, bytes: data };
    }
    const norm = /norm.*weight/.test(stored) ? 1 : 0;
    const values = Float32Array.from({ length: count }, () => norm + (random() - 0.5) / 4);
    return { name: stored, shape, type: 'F32' as const, bytes: quantize('F32', values) };
  });
  const metadata = [
    ['general.architecture', 'string', name] as const,
    ...entriesFromConfig(form, config, 'the test'),
  ];
  const path = join(folder, `${name}-${type}.gguf`);
  writeFileSync(path, rawGguf(metadata, tensors));
  return { path, bytes };
}
