/**
 * What of a token's time is the engine's kernels: decoding, interleaved with a bare loop of the same products and attention over
 * the same weights and caches of the same length, in one graph with nothing between them. Models of Llama's structure.
 *
 *     node scripts/run-ts.js bench/decode-floor.ts MODEL [--contexts 128,2048] [--tokens 60] [--activations int8|exact] [--threads 2]
 *
 * MODEL is a Hugging Face directory or a GGUF file. Both graphs hold the weights. Times are the best and lower quartiles over tokens.
 */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { openModel } from '../src/checkpoint/load.node.ts';
import { weightSources } from '../src/checkpoint/weight-sources.node.ts';
import type { LlamaConfig } from '../src/families/llama.ts';
import { Decoder } from '../src/generation/decoder.ts';
import { prefill } from '../src/generation/generate.ts';
import { cachedAttentionOp } from '../src/graph/operators/cached-attention.ts';
import { concat, input, linear, parameter, reshape, slice } from '../src/graph/operators/index.ts';
import { apply, type Tensor } from '../src/graph/tensor.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { Executable, type HostTensor } from '../src/runtime/executable.ts';
import { HostMemory } from '../src/runtime/host-memory.ts';
import { quantile } from './inference/samples.ts';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    contexts: { type: 'string', default: '128,2048' },
    tokens: { type: 'string', default: '60' },
    activations: { type: 'string', default: 'int8' },
    threads: { type: 'string', default: '2' },
  },
});
const [path] = positionals;
if (path === undefined) {
  console.error('usage: node scripts/run-ts.js bench/decode-floor.ts MODEL [options]');
  process.exit(2);
}
const load = () =>
  loadavg()
    .map((x) => x.toFixed(2))
    .join(' ');
console.log(`${path}, activations ${flags.activations}, load average ${load()}`);

const opened = await openModel(path);
const { model } = opened;
const {
  num_hidden_layers: layers,
  hidden_size: hidden,
  num_attention_heads: heads,
  num_key_value_heads: kvHeads,
  intermediate_size: inner,
} = model.config as LlamaConfig;
const parameters = model.parameters();
const headDim = parameters.get('model.layers.0.self_attn.q_proj.weight')!.shape[0]! / heads;
const engine = nodeEngine({ threads: Number(flags.threads) });
const contexts = flags.contexts.split(',').map(Number);
const capacity = Math.max(...contexts) + Number(flags.tokens) + 1;

async function weights() {
  return weightSources(opened, { activations: flags.activations === 'exact' ? 'exact' : 'int8' });
}
const own = await weights();
const settings = (folder: string | undefined) => ({
  spinsBetweenRuns: true,
  ...(folder !== undefined && { weightsFolder: folder }),
});
const decoder = await Decoder.create(engine, model, own.weights, settings(own.folder), own.close);
const bare = await bareLoop();
await opened.checkpoint.tensors.close();

for (const context of contexts) {
  const cache = decoder.newCache();
  const ids = Array.from({ length: context }, (_, i) => 100 + ((i * 7919) % 1000));
  for (let at = 0; at < context; at += 256) await prefill(decoder, cache, ids.slice(at, at + 256));
  const times: Record<'ours' | 'bare', number[]> = { ours: [], bare: [] };
  for (let token = 0; token < Number(flags.tokens); token++) {
    const runs = {
      ours: () => decoder.forward([100 + token], cache),
      bare: () => bare(context + token),
    };
    // Several in a row, as in decoding: the weights of one displace those of the other from the processor's caches.
    for (const kind of token % 2 ? (['ours', 'bare'] as const) : (['bare', 'ours'] as const)) {
      const started = performance.now();
      await runs[kind]();
      times[kind].push(performance.now() - started);
    }
  }
  const [best, typical] = [0, 0.25].map((share) => ({
    ours: quantile(times.ours, share),
    bare: quantile(times.bare, share),
  })) as [Record<'ours' | 'bare', number>, Record<'ours' | 'bare', number>];
  const text = ({ ours, bare: floor }: Record<'ours' | 'bare', number>) =>
    `a token ${ours.toFixed(2)} ms, bare loop ${floor.toFixed(2)} ms: ${(floor / ours).toFixed(3)} of it, at most ${(1000 / floor).toFixed(0)} tokens/s`;
  console.log(`at ${context}: best: ${text(best)}\n  lower quartile: ${text(typical)}`);
}
console.log(`load average ${load()}`);
process.exit(0);

/** The products and attentions of a token, each with its own input. @returns a run over so many cached keys. */
async function bareLoop(): Promise<(length: number) => Promise<unknown>> {
  const memory = new HostMemory();
  const feeds: Record<string, HostTensor> = {};
  const outputs = new Map<string, Tensor>();
  const into: Record<string, HostTensor> = {};
  const fed = (name: string, shape: number[]) => {
    const data = memory.allocFloat32(shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < data.length; i++) data[i] = ((i * 7919) % 1009) / 1009 - 0.5;
    feeds[name] = { data, shape };
    return input(name, 'float32', shape);
  };
  const weight = (name: string) => parameter(name, parameters.get(name)!.shape);
  // One value of each result is returned, all in one array: the cost of returning them is not part of the floor.
  const results: Tensor[] = [];
  const result = (y: Tensor) => results.push(slice(y, 1, 0, 1));
  const [pastLength, total, lastKey] = [
    input('past', 'int32', [1]),
    input('total', 'int32', []),
    input('last', 'int32', [1]),
  ];
  const [cos, sin] = ['cos', 'sin'].map((name) => fed(name, [capacity, headDim / 2])) as [Tensor, Tensor];
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}`;
    const x = fed(`x${layer}`, [1, hidden]);
    for (const name of ['q', 'k', 'v']) result(linear(x, weight(`${prefix}.self_attn.${name}_proj.weight`)));
    const qkv = fed(`qkv${layer}`, [1, 1, (heads + 2 * kvHeads) * headDim]);
    const pasts = ['pastK', 'pastV'].map((name) => fed(`${name}${layer}`, [1, kvHeads, capacity, headDim]));
    const attributes = {
      ...{ heads, kvHeads, window: null, packed: true, rotates: true, scale: headDim ** -0.5, softcap: null },
    };
    const given = [qkv, ...pasts, pastLength, total, lastKey, cos, sin] as Tensor[];
    const [attended, newK, newV] = apply(cachedAttentionOp, given, attributes);
    for (const [name, tensor] of [
      ['pastK', newK!],
      ['pastV', newV!],
    ] as const) {
      outputs.set(`new.${name}${layer}`, tensor);
      into[`new.${name}${layer}`] = feeds[`${name}${layer}`]!;
    }
    result(reshape(attended!, [1, heads * headDim]));
    result(linear(fed(`y${layer}`, [1, heads * headDim]), weight(`${prefix}.self_attn.o_proj.weight`)));
    const z = fed(`z${layer}`, [1, hidden]);
    for (const name of ['gate', 'up']) result(linear(z, weight(`${prefix}.mlp.${name}_proj.weight`)));
    result(linear(fed(`w${layer}`, [1, inner]), weight(`${prefix}.mlp.down_proj.weight`)));
  }
  outputs.set('results', concat(results, 1));
  const { weight: head } = model.head;
  outputs.set('logits', linear(fed('h', [1, hidden]), parameter(head.path, head.shape)));
  const sources = await weights();
  const executable = await Executable.compile(engine, outputs, {
    ...settings(sources.folder),
    weights: sources.weights,
  });
  return (length) => {
    const integers = {
      past: { data: Int32Array.of(length), shape: [1] },
      total: { data: Int32Array.of(length + 1), shape: [] },
      last: { data: Int32Array.of(length), shape: [1] },
    };
    return executable.run({ ...feeds, ...integers }, into);
  };
}
