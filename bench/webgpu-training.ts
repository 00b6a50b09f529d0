/**
 * Training on a graphics card through WebGPU: whole steps (forward, backward, update) with random weights.
 *
 *     node bench/webgpu-training.mjs --model smol|1b|256k|tiny --batch 4 --seq 256 [--memory fast|recompute|light] [--steps 20]
 *         [--optimizer adamw] [--accumulate 1] [--layers N] [--profile-phases] [--json FILE]
 *
 * To make one file that needs only onnxruntime-node and koffi beside it:
 *
 *     npx esbuild bench/webgpu-training.ts --bundle --platform=node --format=esm --target=node20 --packages=external \
 *         --outfile=bench/webgpu-training.mjs
 *
 * Prints the time of the first step, which compiles shaders; then milliseconds per step and tokens/s (median and best); the
 * device's memory; the bytes that crossed per step; and, measured in steps of their own that wait after each phase, where
 * the time goes.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { CausalLM } from '../src/families/family.ts';
import { type LlamaConfig, llama } from '../src/families/llama.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import type { MemoryMode } from '../src/training/create-learner.ts';
import { createDeviceOptimizer } from '../src/training/on-device/create-device-optimizer.ts';
import { DeviceLearner } from '../src/training/on-device/device-learner.ts';
import type { OptimizerKind } from '../src/training/optimizers/create-optimizer.ts';
import { oneB, smol } from './inference/shapes.ts';

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', default: 'smol' },
    batch: { type: 'string', default: '4' },
    seq: { type: 'string', default: '256' },
    memory: { type: 'string', default: 'fast' },
    steps: { type: 'string', default: '20' },
    optimizer: { type: 'string', default: 'adamw' },
    accumulate: { type: 'string', default: '1' },
    layers: { type: 'string' },
    'profile-phases': { type: 'boolean', default: true },
    json: { type: 'string' },
  },
  allowNegative: true,
});

const shapes: Readonly<Record<string, LlamaConfig>> = {
  smol,
  '1b': oneB,
  // Gemma 2's vocabulary and widths: the embedding has 2.36 GB.
  '256k': {
    ...oneB,
    ...{ vocab_size: 256_000, hidden_size: 2304, intermediate_size: 9216, num_hidden_layers: 1 },
    ...{ num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256 },
  },
  tiny: { ...llama.presets.tiny!.config, vocab_size: 1024 },
};
const shape = shapes[flags.model];
if (!shape) throw new Error(`--model takes ${Object.keys(shapes).join(', ')}.`);
const config = {
  ...shape,
  bos_token_id: 1,
  eos_token_id: [2],
  initializer_range: 0.02,
  ...(flags.layers !== undefined && { num_hidden_layers: Number(flags.layers) }),
};
const [batch, seq, steps, accumulate] = [flags.batch, flags.seq, flags.steps, flags.accumulate].map(
  Number,
) as [number, number, number, number];
const memoryMode = flags.memory as MemoryMode;

const model = llama.build(config);
const engine = nodeEngine({ provider: 'webgpu', threads: 1 });
let onPhase: ((phase: string) => void) | undefined;
const started = performance.now();
const learner = await DeviceLearner.create(
  engine,
  model,
  { batch, seq },
  {
    gradients: memoryMode === 'light' ? 'as you go' : 'kept',
    activations: memoryMode === 'fast' ? 'kept' : 'recomputed',
    onPhase: (phase) => onPhase?.(phase),
  },
);
await learner.fill((values) => randomize(model, values));
const { memory, parameters, updates } = learner.onDevice;
const optimizer = await createDeviceOptimizer(engine, memory, flags.optimizer as OptimizerKind, parameters);
await optimizer.prepare(updates);
console.log(`made in ${seconds(started)} s; ${(memory.byteLength / 2 ** 20).toFixed(0)} MiB on the device`);

let step = 0;
const losses: number[] = [];
const run = async () => {
  const batches = Array.from({ length: accumulate }, (_, i) => rows(step * accumulate + i));
  const result = await learner.step(batches, { optimizer, learningRate: 1e-4, clip: 1 });
  step++;
  losses.push(result.loss);
};

const first = performance.now();
await run();
console.log(`first step: ${seconds(first)} s, loss ${losses[0]!.toFixed(4)}`);
for (let i = 0; i < 2; i++) await run();
const before = { ...memory.traffic };
const times: number[] = [];
for (let i = 0; i < steps; i++) {
  const at = performance.now();
  await run();
  times.push(performance.now() - at);
}
const crossed = (memory.traffic.written + memory.traffic.read - before.written - before.read) / steps;

const phases = new Map<string, number[]>();
if (flags['profile-phases']) {
  let last = 0;
  onPhase = (phase) => {
    // It blocks before it returns.
    void learner.wait();
    const now = performance.now();
    phases.set(phase, [...(phases.get(phase) ?? []), now - last]);
    last = now;
  };
  for (let i = 0; i < 5; i++) {
    await learner.wait();
    last = performance.now();
    await run();
  }
  onPhase = undefined;
}

const sorted = [...times].sort((a, b) => a - b);
const median = sorted[sorted.length >> 1]!;
const tokens = batch * seq * accumulate;
const record = {
  model: flags.model,
  ...{ parameters: model.parameterCount(), batch, seq, accumulate, memory: memoryMode },
  ...{ optimizer: flags.optimizer, steps },
  medianMs: median,
  bestMs: sorted[0]!,
  tokensPerSecond: (1000 * tokens) / median,
  bestTokensPerSecond: (1000 * tokens) / sorted[0]!,
  deviceBytes: memory.byteLength,
  crossedPerStep: crossed,
  phasesMs: Object.fromEntries(
    [...phases].map(([name, all]) => [name, all.sort((a, b) => a - b)[all.length >> 1]!]),
  ),
  losses: [losses[0]!, losses.at(-1)!],
};
console.log(
  `${flags.model} ${batch} × ${seq}${accumulate > 1 ? ` × ${accumulate}` : ''}, ${memoryMode}: median ${median.toFixed(1)} ms, ` +
    `best ${sorted[0]!.toFixed(1)} ms a step; ${record.tokensPerSecond.toFixed(0)} (${record.bestTokensPerSecond.toFixed(0)}) tokens/s; ` +
    `${crossed.toFixed(0)} bytes crossed a step`,
);
for (const [name, ms] of Object.entries(record.phasesMs))
  console.log(`  ${name.padEnd(10)} ${ms.toFixed(1)} ms`);
console.log(`loss ${losses[0]!.toFixed(4)} → ${losses.at(-1)!.toFixed(4)} after ${losses.length} steps`);
console.log(JSON.stringify(record));
if (flags.json) writeFileSync(flags.json, `${JSON.stringify(record, null, 1)}\n`);
await optimizer.release();
await learner.release();

/** Rows in which a token determines the next one: the loss falls. */
function rows(index: number) {
  const vocab = config.vocab_size;
  const ids = Int32Array.from(
    { length: batch * seq + 1 },
    (_, i) => (i * 7919 + (index % 8) * 104729 + 11) % vocab,
  );
  return { inputs: ids.slice(0, -1), targets: ids.slice(1) };
}

/** Normal-like numbers that fill large weights fast: a series, again and again; norms are ones. */
function randomize(model: CausalLM, values: ReadonlyMap<string, Float32Array>): void {
  const random = new Random(7);
  const series = Float32Array.from({ length: 100_003 }, () => random.nextGaussian());
  for (const [path, { initializer }] of model.parameters()) {
    const target = values.get(path)!;
    if ('fill' in initializer) target.fill(initializer.fill);
    else {
      const scaled = series.map((value) => value * initializer.normal);
      for (let at = 0; at < target.length; at += scaled.length)
        target.set(scaled.subarray(0, Math.min(scaled.length, target.length - at)), at);
    }
  }
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(1);
}
