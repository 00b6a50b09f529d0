import { describe, expect, it } from 'vitest';
import { findPreset, modelFromConfig } from '../families/registry.ts';
import { compare, type Row } from './compare.ts';

/** A value for a field, and the features whose cells it changes: those and no others. */
type Case = readonly [value: unknown, changes: readonly string[]];

const at = (label: string, ...contexts: string[]) => contexts.map((context) => label.replace('#', context));
const flops = (...contexts: string[]) => at('Attention FLOPs per token at #', ...contexts);
const cache = (...contexts: string[]) => at('KV cache at # (bfloat16)', ...contexts);
const CACHE_PER_TOKEN = 'KV cache per token (bfloat16)';
const WEIGHTS = ['Parameters', 'Weight FLOPs per token'];
/** Ids of special tokens: they are about text, not about architecture. */
const specialTokens: Record<string, Case> = {
  bos_token_id: [3, []],
  eos_token_id: [[4, 5], []],
  pad_token_id: [6, []],
};
const common: Record<string, Case> = {
  ...specialTokens,
  vocab_size: [300, [...WEIGHTS, 'Vocabulary']],
  initializer_range: [0.05, ['Initial weights']],
};
const k8 = ['1k', '4k', '8k'];
const scaling = {
  rope_type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
};

const rotary: Record<string, Case> = {
  ...common,
  hidden_size: [1024, [...WEIGHTS, 'Width', 'Embedding scale']],
  intermediate_size: [1000, [...WEIGHTS, 'MLP width']],
  num_hidden_layers: [6, [...WEIGHTS, 'Layers', ...flops(...k8), CACHE_PER_TOKEN, ...cache(...k8)]],
  num_attention_heads: [16, [...WEIGHTS, 'Query heads', ...flops(...k8)]],
  head_dim: [64, [...WEIGHTS, 'Head size', 'Query scale', ...flops(...k8), CACHE_PER_TOKEN, ...cache(...k8)]],
  max_position_embeddings: [4096, ['Context', ...flops('8k'), ...cache('8k')]],
  rms_norm_eps: [1e-4, ['Norm epsilon']],
  rope_theta: [20000, ['Position base (theta)']],
  rope_scaling: [scaling, ['RoPE scaling']],
  attention_bias: [true, ['Parameters', 'Biases']],
  tie_word_embeddings: [false, ['Parameters', 'Output head']],
};

/** Dropout is never applied: Ropewalk trains without it. */
const dropouts: Record<string, Case> = { resid_pdrop: [0.3, []], embd_pdrop: [0.3, []] };

const gptCosts = [...flops('512'), CACHE_PER_TOKEN, ...cache('512')];
const gpt2Costs = [...flops('1k'), CACHE_PER_TOKEN, ...cache('1k')];
const headShape = ['Query heads', 'Key/value heads', 'Head size', 'Query scale'];

const cases: Record<string, Record<string, Case>> = {
  'gpt-base': {
    ...common,
    ...dropouts,
    n_embd: [1024, [...WEIGHTS, 'Width', 'Head size', 'Query scale', 'Embedding scale', ...gptCosts]],
    dff: [1000, [...WEIGHTS, 'MLP width']],
    n_layer: [4, [...WEIGHTS, 'Layers', ...gptCosts]],
    // As many heads for keys as for queries, of the same width in all.
    n_head: [4, headShape],
    n_positions: [1024, ['Context', ...flops('512', '1k'), ...cache('512', '1k')]],
    layer_norm_epsilon: [1e-5, ['Norm epsilon']],
    tie_word_embeddings: [false, ['Parameters', 'Output head']],
  },
  gpt2: {
    ...common,
    ...dropouts,
    attn_pdrop: [0.3, []],
    // The MLP is four times as wide where n_inner says nothing else.
    n_embd: [1536, [...WEIGHTS, 'Width', 'Head size', 'Query scale', 'MLP width', ...gpt2Costs]],
    n_inner: [1000, [...WEIGHTS, 'MLP width']],
    n_layer: [4, [...WEIGHTS, 'Layers', ...gpt2Costs]],
    n_head: [6, headShape],
    // Learned positions are weights.
    n_positions: [512, ['Parameters', 'Context', ...flops('512', '1k'), ...cache('512', '1k')]],
    layer_norm_epsilon: [1e-6, ['Norm epsilon']],
    tie_word_embeddings: [false, ['Parameters', 'Output head']],
  },
  'gemma-2b': {
    ...rotary,
    num_key_value_heads: [8, [...WEIGHTS, 'Attention', 'Key/value heads', CACHE_PER_TOKEN, ...cache(...k8)]],
  },
  'gemma-2-2b': {
    ...rotary,
    num_key_value_heads: [8, [...WEIGHTS, 'Attention', 'Key/value heads', CACHE_PER_TOKEN, ...cache(...k8)]],
    // The scale has a field of its own.
    head_dim: [64, [...WEIGHTS, 'Head size', ...flops(...k8), CACHE_PER_TOKEN, ...cache(...k8)]],
    query_pre_attn_scalar: [144, ['Query scale']],
    sliding_window: [2048, ['Sliding window', ...flops('4k', '8k'), ...cache('4k', '8k')]],
    // A window of 4,096 bites only beyond it.
    layer_types: [
      Array.from({ length: 26 }, () => 'full_attention'),
      ['Attention', 'Sliding window', ...flops('8k'), ...cache('8k')],
    ],
    attn_logit_softcapping: [20, ['Attention logit cap']],
    final_logit_softcapping: [20, ['Final logit cap']],
  },
  'llama-3-8b': {
    ...rotary,
    // Not scaled, so no embedding scale that follows the width.
    hidden_size: [1024, [...WEIGHTS, 'Width']],
    num_key_value_heads: [1, [...WEIGHTS, 'Attention', 'Key/value heads', CACHE_PER_TOKEN, ...cache(...k8)]],
    mlp_bias: [true, ['Parameters', 'Biases']],
    tie_word_embeddings: [true, ['Parameters', 'Output head']],
  },
};

function rowsOf(name: string, change: Record<string, unknown>): Row[] {
  const { family, preset } = findPreset(name)!;
  const built = modelFromConfig(family.writeConfig({ ...preset.config, ...change }), 'config.json');
  return compare([{ name: 'it', preset: name, isFamily: false, ...built }]);
}

function changed(name: string, change: Record<string, unknown>): string[] {
  const before = new Map(rowsOf(name, {}).map(({ feature, values }) => [feature, values.it]));
  const after = new Map(rowsOf(name, change).map(({ feature, values }) => [feature, values.it]));
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((key) => before.get(key) !== after.get(key))
    .sort();
}

describe.each(Object.entries(cases))('changing one field of the config of %s', (name, fields) => {
  it('is tested for every field', () => {
    expect(Object.keys(fields).sort()).toEqual(Object.keys(findPreset(name)!.preset.config).sort());
  });

  const alone = Object.entries(fields).filter(
    ([field]) => !(name === 'gemma-2-2b' && field === 'num_hidden_layers'),
  );
  it.each(alone)('changes exactly the cells that depend on it: %s', (field, [value, features]) => {
    expect(changed(name, { [field]: value })).toEqual([...features].sort());
  });
});

describe('changing fields of Gemma 2 that belong together', () => {
  const layers = rotary.num_hidden_layers!;

  it('is refused when layer_types lists another number of layers', () => {
    expect(() => changed('gemma-2-2b', { num_hidden_layers: 6 })).toThrow(/layer_types/);
    const types = Array.from({ length: 6 }, (_, i) => (i % 2 ? 'full_attention' : 'sliding_attention'));
    expect(changed('gemma-2-2b', { num_hidden_layers: 6, layer_types: types })).toEqual(
      [...layers[1], 'Sliding window'].sort(),
    );
  });

  it('turns capping off only when both caps are null', () => {
    expect(changed('gemma-2-2b', { attn_logit_softcapping: null })).toEqual([
      'Attention logit cap',
      'Logits',
    ]);
    expect(changed('gemma-2-2b', { final_logit_softcapping: null })).toEqual(['Final logit cap', 'Logits']);
    const none = rowsOf('gemma-2-2b', { attn_logit_softcapping: null, final_logit_softcapping: null });
    expect(none.find(({ feature }) => feature === 'Logits')!.values.it).toBe('uncapped');
  });
});
