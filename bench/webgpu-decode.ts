/**
 * Inference on a graphics card: prompts and single tokens, with the caches on the card and, for comparison, in the memory
 * of the process (as they were before, and are in browsers). Random weights, no files.
 *
 *     node scripts/run-ts.js bench/webgpu-decode.ts [--models smol,1b] [--precisions float32,int8,int4] [--block 32]
 *         [--prefill 256,1024] [--contexts 128,2048] [--tokens 64] [--caches device,host] [--json FILE]
 *
 * Prints tokens per second and the bytes that cross between the process and the card for each token; `difference` is the
 * largest difference between the two paths' logits after the longest context, as a share of the largest logit.
 */
import { randomFillSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { modelFromConfig } from '../src/families/registry.ts';
import { Decoder } from '../src/generation/decoder.ts';
import { prefill } from '../src/generation/prefill.ts';
import type { Parameter } from '../src/nn/module.ts';
import { newQuantizedArrays, type QuantizedArrays, type WeightSource } from '../src/onnx/weights.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { randomWeights } from './inference/random-weights.ts';
import { quantile } from './inference/samples.ts';
import { oneB, smol } from './inference/shapes.ts';

const { values: flags } = parseArgs({
  options: {
    models: { type: 'string', default: 'smol,1b' },
    precisions: { type: 'string', default: 'float32,int8,int4' },
    block: { type: 'string', default: '32' },
    prefill: { type: 'string', default: '256,1024' },
    contexts: { type: 'string', default: '128,2048' },
    tokens: { type: 'string', default: '64' },
    caches: { type: 'string', default: 'device,host' },
    layers: { type: 'string' },
    json: { type: 'string' },
  },
});
const list = (text: string) => text.split(',').filter((part) => part !== '');
const numbers = (text: string) => list(text).map(Number);

/** To try this program itself. */
const tiny = { ...smol, vocab_size: 32_000, hidden_size: 64, num_attention_heads: 4, num_key_value_heads: 2 };
const shapes = { smol, '1b': oneB, tiny: { ...tiny, head_dim: 16, num_hidden_layers: 2 } } as const;
const BITS: Readonly<Record<string, 4 | 8 | undefined>> = { float32: undefined, int8: 8, int4: 4 };

/** Values of a quantized matrix about as large as those of a trained one. */
function fillQuantized(arrays: QuantizedArrays, bits: 4 | 8): void {
  for (let at = 0; at < arrays.data.length; at += 2 ** 30) {
    randomFillSync(arrays.data.subarray(at, at + 2 ** 30));
  }
  arrays.scales.fill(0.05 / 2 ** (bits - 1));
  arrays.zeroPoints?.fill(0x88);
}

function sourceOf(
  path: string,
  parameter: Parameter,
  bits: 4 | 8 | undefined,
  isHead: boolean,
): WeightSource {
  const { shape } = parameter;
  const [rows, columns] = shape as [number, number];
  const lookup = {
    width: columns,
    read(row: number, target: Float32Array, at: number) {
      for (let i = 0; i < columns; i++) target[at + i] = Math.fround(Math.sin(row * 31 + i) * 0.03);
    },
  };
  if (bits === undefined || shape.length < 2) {
    return { read: async () => randomWeights(path, parameter) };
  }
  const form = { rows, columns, bits: isHead ? 8 : bits, block: Number(flags.block) } as const;
  const has = { hasOffsets: false, hasZeroPoints: form.bits === 4 };
  let kept: QuantizedArrays | undefined;
  const read = async (into?: QuantizedArrays) => {
    const arrays = into ?? newQuantizedArrays({ ...form, ...has });
    // Both paths get the same numbers.
    kept ??= newQuantizedArrays({ ...form, ...has });
    if (kept.scales[0] === 0) fillQuantized(kept, form.bits);
    arrays.data.set(kept.data);
    arrays.scales.set(kept.scales);
    arrays.zeroPoints?.set(kept.zeroPoints!);
    return { ...form, ...arrays };
  };
  return { quantized: { ...form, ...has, exact: true, read }, ...(isHead && { rows: lookup }) };
}

interface Line {
  readonly model: string;
  readonly precision: string;
  readonly caches: string;
  readonly what: string;
  readonly tokensPerSecond: number;
  readonly written: number;
  readonly read: number;
}

const lines: Line[] = [];
const megabytes = (bytes: number) => (bytes / 1e6).toFixed(3).padStart(9);

async function measure(
  decoder: Decoder,
  about: Pick<Line, 'model' | 'precision' | 'caches'>,
): Promise<Float32Array> {
  const ids = (count: number) => Array.from({ length: count }, (_, i) => 100 + ((i * 7919) % 30000));
  const report = (what: string, seconds: number, tokens: number, spent: Decoder['traffic'], runs = 1) => {
    const written = spent.written / tokens / runs;
    const read = spent.read / tokens / runs;
    lines.push({ ...about, what, tokensPerSecond: tokens / seconds, written, read });
    console.log(
      `${about.model.padEnd(5)} ${about.precision.padEnd(8)} caches: ${about.caches.padEnd(7)} ${what.padEnd(16)} ${(tokens / seconds).toFixed(1).padStart(9)} tokens/s   MB a token: ${megabytes(written)} up, ${megabytes(read)} down`,
    );
  };
  const since = (before: Decoder['traffic']) => ({
    written: decoder.traffic.written - before.written,
    read: decoder.traffic.read - before.read,
  });
  for (const length of numbers(flags.prefill)) {
    const times: number[] = [];
    let spent = decoder.traffic;
    // The first round compiles kernels.
    for (let round = 0; round < 4; round++) {
      const cache = decoder.newCache();
      const before = decoder.traffic;
      const started = performance.now();
      await prefill(decoder, cache, ids(length));
      times.push(performance.now() - started);
      spent = since(before);
      cache.release();
    }
    report(`prompt of ${length}`, Math.min(...times.slice(1)) / 1000, length, spent);
  }
  let logits: Float32Array = new Float32Array(0);
  for (const context of numbers(flags.contexts)) {
    const cache = decoder.newCache();
    logits = await prefill(decoder, cache, ids(context));
    for (let i = 0; i < 8; i++) await decoder.forward([100 + i], cache);
    const times: number[] = [];
    const before = decoder.traffic;
    const count = Number(flags.tokens);
    for (let i = 0; i < count; i++) {
      const started = performance.now();
      await decoder.forward([100 + i], cache);
      times.push(performance.now() - started);
    }
    report(`token after ${context}`, quantile(times, 0.5) / 1000, 1, since(before), count);
    cache.release();
  }
  return logits;
}

const webgpu = nodeEngine({ provider: 'webgpu' });
console.log(`engine: ${webgpu.name}`);
for (const name of list(flags.models) as (keyof typeof shapes)[]) {
  const layers = flags.layers === undefined ? {} : { num_hidden_layers: Number(flags.layers) };
  const raw = { ...shapes[name], ...layers, model_type: 'llama' };
  for (const precision of list(flags.precisions)) {
    const { model } = modelFromConfig(raw, 'the benchmark');
    const weights = new Map<string, WeightSource>();
    for (const [path, parameter] of model.parameters()) {
      weights.set(path, sourceOf(path, parameter, BITS[precision], parameter === model.head.weight));
    }
    const results: Float32Array[] = [];
    for (const caches of list(flags.caches)) {
      const { openMemory, ...without } = webgpu;
      const engine = caches === 'device' ? webgpu : without;
      const started = performance.now();
      const decoder = await Decoder.create(engine, model, weights);
      console.log(
        `${name} ${precision}: opened in ${((performance.now() - started) / 1000).toFixed(1)} s${openMemory ? '' : ' (no memory of the device)'}`,
      );
      results.push(await measure(decoder, { model: name, precision, caches }));
      await decoder.release();
    }
    const [first, second] = results;
    if (first && second) {
      let difference = 0;
      let largest = 0;
      first.forEach((value, i) => {
        difference = Math.max(difference, Math.abs(value - second[i]!));
        largest = Math.max(largest, Math.abs(second[i]!));
      });
      console.log(`${name} ${precision}: difference ${(difference / largest).toExponential(2)}`);
    }
  }
}
if (flags.json) writeFileSync(flags.json, `${JSON.stringify(lines, null, 1)}\n`);
