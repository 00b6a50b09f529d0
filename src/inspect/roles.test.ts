import { describe, expect, it } from 'vitest';
import { families as registered } from '../families/registry.ts';
import { matmulFlops } from '../graph/operators/matmul.ts';
import { topologicalOrder } from '../graph/traverse.ts';
import { Activation } from '../nn/mlp.ts';
import { cacheBytes, cacheBytesPerToken, contextsFor, weightFlopsPerToken } from './costs.ts';
import { recordFlow } from './flow.ts';
import { partsOf } from './model-parts.ts';
import { namedPreset } from './named-model.ts';
import { type Role, rolesOf } from './roles.ts';

const model = (name: string) => namedPreset(name)!.model;
const families = registered.map(({ name }) => name);

/** What the modules are for, as the reference's forward functions use them. */
const expected: Record<string, Record<string, Role[]>> = {
  gpt: {
    'transformer.w': ['token embedding'],
    'transformer.pos_encoding': ['position encoding'],
    'transformer.h.1.multi_head_attention': ['attention'],
    'transformer.h.1.multi_head_attention.Wq': ['query'],
    'transformer.h.1.multi_head_attention.Wk': ['key'],
    'transformer.h.1.multi_head_attention.Wv': ['value'],
    'transformer.h.1.multi_head_attention.dense': ['attention output'],
    'transformer.h.1.ffn.0': ['up'],
    'transformer.h.1.ffn.1': ['activation'],
    'transformer.h.1.ffn.2': ['down'],
    'transformer.h.1.layernorm1': ['pre-attention norm'],
    'transformer.h.1.layernorm2': ['pre-mlp norm'],
    'transformer.layernorm': ['final norm'],
    lm_head: ['head'],
  },
  gpt2: {
    'transformer.wte': ['token embedding'],
    'transformer.wpe': ['position encoding'],
    'transformer.h.1.attn.c_attn': ['query', 'key', 'value'],
    'transformer.h.1.attn.c_proj': ['attention output'],
    'transformer.h.1.mlp.c_fc': ['up'],
    'transformer.h.1.mlp.c_proj': ['down'],
    'transformer.h.1.ln_1': ['pre-attention norm'],
    'transformer.h.1.ln_2': ['pre-mlp norm'],
    'transformer.ln_f': ['final norm'],
    'transformer.h.1.mlp.dropout': ['dropout'],
  },
  gemma: {
    'model.layers.1.input_layernorm': ['pre-attention norm'],
    'model.layers.1.post_attention_layernorm': ['pre-mlp norm'],
    'model.layers.1.mlp.gate_proj': ['gate'],
    'model.layers.1.mlp.up_proj': ['up'],
    'model.layers.1.mlp.down_proj': ['down'],
    'model.rotary_emb': ['position encoding'],
    'model.norm': ['final norm'],
    model: ['decoder'],
    'model.layers': ['layers'],
    'model.layers.1': ['layer'],
  },
  gemma2: {
    'model.layers.1.input_layernorm': ['pre-attention norm'],
    'model.layers.1.post_attention_layernorm': ['attention post-norm'],
    'model.layers.1.pre_feedforward_layernorm': ['pre-mlp norm'],
    'model.layers.1.post_feedforward_layernorm': ['mlp post-norm'],
    'model.norm': ['final norm'],
  },
  gemma3: {
    'model.rotary_emb_local': ['position encoding'],
    'model.layers.1.self_attn.q_proj': ['query'],
    'model.layers.1.self_attn.k_proj': ['key'],
    'model.layers.1.self_attn.q_norm': ['query norm'],
    'model.layers.1.self_attn.k_norm': ['key norm'],
    'model.layers.1.post_feedforward_layernorm': ['mlp post-norm'],
  },
  exaone4: {
    'model.layers.3.self_attn.q_proj': ['query'],
    'model.layers.3.self_attn.q_norm': ['query norm'],
    'model.layers.3.post_attention_layernorm': ['attention post-norm'],
    'model.layers.3.post_feedforward_layernorm': ['mlp post-norm'],
    'model.layers.3.mlp.gate_proj': ['gate'],
    'model.norm': ['final norm'],
  },
  hyperclovax: {
    'model.layers.1.post_attention_layernorm': ['pre-mlp norm'],
    'model.layers.1.post_norm1': ['attention post-norm'],
    'model.layers.1.post_norm2': ['mlp post-norm'],
    'model.norm': ['final norm'],
  },
  llama: {
    'model.layers.1.self_attn.q_proj': ['query'],
    'model.layers.1.self_attn.k_proj': ['key'],
    'model.layers.1.self_attn.v_proj': ['value'],
    'model.layers.1.self_attn.o_proj': ['attention output'],
    'model.layers.1.post_attention_layernorm': ['pre-mlp norm'],
    'model.layers.1.mlp.act_fn': ['activation'],
  },
};

describe('rolesOf', () => {
  it.each(families)('%s: gives every module the role that the reference gives it', (name) => {
    const tiny = model(`${name}/tiny`);
    const roles = rolesOf(tiny);
    const byPath = new Map([...tiny.walk()].map(([path, module]) => [path, roles.get(module)]));
    expect([...byPath.values()].flat()).not.toContain('other');
    for (const [path, role] of Object.entries(expected[name] ?? {}))
      expect([path, byPath.get(path)]).toEqual([path, role]);
  });

  it.each(families)('%s: describes modules as the graph computes them', (name) => {
    const tiny = model(`${name}/tiny`);
    const nodes = topologicalOrder([recordFlow(tiny).output]);
    const of = (...names: string[]) => nodes.filter(({ operator }) => names.includes(operator.name));
    const { attentions, mlps, norms } = partsOf(tiny);
    expect(of('attention').map(({ attributes }) => attributes)).toEqual(
      attentions.map(({ scale, softcap }) => ({ scale, softcap })),
    );
    expect(of('relu', 'gelu', 'silu').map(({ operator }) => operator.name)).toEqual(
      mlps.map(({ activation }) => activation),
    );
    const activations = [...tiny.walk()].filter(([, module]) => module instanceof Activation);
    expect(activations.length).toBe(mlps.length);
    expect(of('rmsNorm').length).toBe(norms.filter(({ kind }) => kind === 'RMSNorm').length);
    expect(of('layerNorm').length).toBe(norms.filter(({ kind }) => kind === 'LayerNorm').length);
    const gates = of('mul').filter(({ inputs }) =>
      inputs.some((x) => ['relu', 'gelu', 'silu'].includes(x.node.operator.name)),
    );
    expect(gates.length).toBe(mlps.filter(({ gated }) => gated).length);
  });
});

describe('the cost of a model', () => {
  it.each(families)('%s: counts the products with weights of the recorded graph, and the head', (name) => {
    const tiny = model(`${name}/tiny`);
    const products = topologicalOrder([recordFlow(tiny).output]).filter(
      ({ operator }) => operator.name === 'matmul',
    );
    // The graph is recorded over two tokens; the head is no part of the hidden states.
    const perToken = products.reduce((sum, node) => sum + (matmulFlops(node) as number), 0) / 2;
    expect(weightFlopsPerToken(tiny)).toBe(perToken + 2 * tiny.head.weight.size);
  });

  it('gives the published cache sizes of Llama 3', () => {
    // 2 · 32 layers · 8 heads · 128 · 2 bytes = 128 KiB a token, so 1 GiB at 8,192.
    expect(cacheBytesPerToken(model('llama-3-8b'), 'bfloat16')).toBe(131072);
    expect(cacheBytes(model('llama-3-8b'), 8192, 'bfloat16')).toBe(2 ** 30);
  });

  it('stops growing in local layers at the window', () => {
    const gemma2 = model('gemma-2-2b');
    const perLayer = 2 * 4 * 256 * 4;
    expect(cacheBytes(gemma2, 4096, 'float32')).toBe(26 * 4096 * perLayer);
    expect(cacheBytes(gemma2, 8192, 'float32')).toBe(13 * (4096 + 8192) * perLayer);
  });

  it('is given at the usual contexts that every compared model reaches', () => {
    const of = (...names: string[]) => contextsFor(names.map(model));
    expect(of('gpt', 'llama-3-8b')).toEqual([512, 1024, 4096, 8192]);
    expect(of('gpt')).toEqual([512]);
    expect(of('llama-3.2-1b')).toEqual([1024, 4096, 8192, 32768, 131072]);
  });
});
