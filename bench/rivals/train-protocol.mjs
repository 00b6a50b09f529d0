/*
 * Shared by the JavaScript libraries in bench/training.ts: the model directory's weights, the batches, and the
 * commands: `step` on standard input runs one training step and answers {seconds, loss}; `products` answers {seconds,
 * flops} of the linear layers' forward products alone; `quit` or the end of input ends.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** The last command line argument: {folder, model, batch, seq, threads}. */
export function readSettings() {
  const settings = JSON.parse(process.argv.at(-1));
  return { ...settings, config: JSON.parse(readFileSync(`${settings.model}/config.json`, 'utf8')) };
}

/** Every tensor of a directory with one safetensors file in float32: {name: {data, shape}}. */
export function readWeights(model, wanted) {
  const file = readFileSync(`${model}/model.safetensors`);
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + headerBytes).toString());
  const weights = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__' || !wanted(name)) continue;
    const [start, end] = entry.data_offsets.map((offset) => 8 + headerBytes + offset);
    // A copy, so that it is aligned.
    const bytes = new Uint8Array(file.subarray(start, end));
    weights[name] = { data: new Float32Array(bytes.buffer), shape: entry.shape };
  }
  return weights;
}

/** Inputs and targets, `[batch · seq]` each: the same as in training/cases.ts. */
export function batchOf(step, { batch, seq, config }) {
  const shift = (step % 8) * 104729;
  const id = (i) => (i * 7919 + shift + 11) % config.vocab_size;
  const at = (i, offset) => id(Math.floor(i / seq) * (seq + 1) + (i % seq) + offset);
  const rows = (offset) => Int32Array.from({ length: batch * seq }, (_, i) => at(i, offset));
  return { inputs: rows(0), targets: rows(1) };
}

/** Cosines and sines of rotary positions, `[seq, headDim]`, with identical halves. */
export function rotary({ seq, config }) {
  const { head_dim: width } = config;
  // transformers 5 keeps theta within rope_parameters.
  const theta = config.rope_parameters?.rope_theta ?? config.rope_theta;
  const angle = (i) => Math.floor(i / width) * theta ** (-(2 * ((i % width) % (width / 2))) / width);
  const table = (f) => Float32Array.from({ length: seq * width }, (_, i) => f(angle(i)));
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/**
 * @param open loads the model: {about, step: (batch) => the loss, product: (rows, inputs, outputs) => a function that
 *   multiplies [rows, inputs] by [outputs, inputs] transposed and waits for the result}. Both may be asynchronous.
 */
export async function serve(open) {
  const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
  try {
    const settings = readSettings();
    const layer = (name) => Number(/layers\.(\d+)\./.exec(name)?.[1] ?? -1);
    const weights = readWeights(settings.model, (name) => layer(name) < settings.config.num_hidden_layers);
    const matrices = Object.entries(weights).filter(([, { shape }]) => shape.length === 2);
    const { about, step, product } = await open(settings, weights);
    say({ ready: true, about });
    let count = 0;
    for await (const line of createInterface({ input: process.stdin })) {
      const command = line.trim();
      if (command === 'products') {
        say(await timeProducts(matrices, settings, product));
      } else if (command === 'step') {
        const batch = batchOf(count++, settings);
        const started = performance.now();
        const loss = await step(batch);
        say({ seconds: (performance.now() - started) / 1000, loss });
      } else break;
    }
    process.exit(0);
  } catch (error) {
    say({ error: String(error?.stack ?? error).slice(0, 400) });
    process.exit(1);
  }
}

/**
 * The best of several runs of each distinct shape, times its number of occurrences. An untied model's embedding is not
 * a product.
 */
async function timeProducts(matrices, { batch, seq, config }, product) {
  const counts = new Map();
  for (const [name, { shape }] of matrices) {
    if (name.includes('embed_tokens') && !config.tie_word_embeddings) continue;
    counts.set(shape.join(), (counts.get(shape.join()) ?? 0) + 1);
  }
  const rows = batch * seq;
  const total = { seconds: 0, flops: 0 };
  for (const [shape, count] of counts) {
    const [outputs, inputs] = shape.split(',').map(Number);
    const run = await product(rows, inputs, outputs);
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 4; i++) {
      const started = performance.now();
      await run();
      best = Math.min(best, (performance.now() - started) / 1000);
    }
    total.seconds += count * best;
    total.flops += count * 2 * rows * inputs * outputs;
  }
  return total;
}
