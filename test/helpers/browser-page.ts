/**
 * The program of the page that test/browser.test.ts opens: what a site would write, with Ropewalk's core and
 * onnxruntime-web alone. Each function takes a reference case by name and returns what it computed.
 */

import { checkpoint, families, files, generation, type onnx, runtime, training } from '../../src/core.ts';
import { compareTraining, type TrainingCase } from './training-beside.ts';

const webgpu = location.search === '?webgpu';
const ort = await (webgpu ? import('onnxruntime-web/webgpu') : import('onnxruntime-web/wasm'));
ort.env.wasm.wasmPaths = '/ort/';
const engine = runtime.webEngine(ort, webgpu ? { provider: 'webgpu', threads: 1 } : { threads: 2 });

async function fetchSafetensors(name: string, file: string): Promise<checkpoint.SafetensorsFile> {
  const response = await fetch(`/reference/${name}/${file}`);
  return checkpoint.openSafetensors(files.memorySource(await response.arrayBuffer(), file));
}

async function fetchModel(name: string) {
  const config = await (await fetch(`/reference/${name}/config.json`)).json();
  return {
    ...families.modelFromConfig(config, 'config.json'),
    file: await fetchSafetensors(name, 'model.safetensors'),
  };
}

async function createBrowserLearner(
  name: string,
  shape: training.SequenceShape,
): Promise<training.WholeGraphLearner> {
  const { model, file } = await fetchModel(name);
  const learner = await training.WholeGraphLearner.create(engine, model, shape);
  for (const [path, value] of learner.values()) await file.readFloat32Into(path, value);
  return learner;
}

async function fetchIds(name: string) {
  const expected = await fetchSafetensors(name, 'expected.safetensors');
  const [batch, seq] = expected.tensors.get('ids')!.shape as [number, number];
  return { ids: Int32Array.from(await expected.readInts('ids')), batch, seq };
}

/** Loss and gradients of the case's sequences, each token but a sequence's last predicting the next. */
async function gradients(name: string) {
  const { ids, batch, seq } = await fetchIds(name);
  const learner = await createBrowserLearner(name, { batch, seq });
  const targets = ids.map((_, i) => ids[(i + 1) % ids.length]!);
  const weights = Float32Array.from(ids, (_, i) => (i % seq === seq - 1 ? 0 : 1));
  const { loss } = await learner.computeGradients([{ inputs: ids, targets, weights }]);
  await learner.release();
  return {
    loss,
    gradients: Object.fromEntries(learner.trainables.map((one) => [one.name, Array.from(one.gradient)])),
  };
}

/** Losses before each of the first training.AdamW steps on the case's batches. */
async function curve(name: string, steps: number): Promise<number[]> {
  const file = await fetchSafetensors(name, 'curve.safetensors');
  const [, batch, width] = file.tensors.get('batches')!.shape as [number, number, number];
  const tokens = Int32Array.from(await file.readInts('batches'));
  const seq = width - 1;
  const learner = await createBrowserLearner(name, { batch, seq });
  const optimizer = new training.AdamW(learner.trainables, { beta1: 0.9, beta2: 0.95, weightDecay: 0.1 });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const side = (shift: number) =>
      Int32Array.from({ length: batch * seq }, (_, i) => {
        const row = step * batch + Math.floor(i / seq);
        return tokens[row * width + (i % seq) + shift]!;
      });
    const { loss } = await learner.computeGradients([{ inputs: side(0), targets: side(1) }]);
    losses.push(loss);
    const norm = training.globalNorm(learner.trainables.map(({ gradient }) => gradient));
    optimizer.step(learner.trainables, {
      learningRate: 1e-3,
      gradientScale: training.clipCoefficient(norm, 1),
    });
  }
  await learner.release();
  return losses;
}

/** Logits of the case's first sequence: `[seq, vocab]` at once, and through the cache: a prompt, then token by token. */
async function logits(name: string, prompt: number) {
  const { ids, seq } = await fetchIds(name);
  const { model, file } = await fetchModel(name);
  const weights = new Map<string, onnx.WeightSource>();
  for (const path of model.parameters().keys()) weights.set(path, { data: await file.readFloat32(path) });
  const first = ids.subarray(0, seq);
  const full = await runtime.Executable.compile(engine, generation.fullLogitsGraph(model, 1, seq), {
    weights,
  });
  const results = await full.run({ input_ids: { data: first, shape: [seq] } });
  await full.release();
  const decoder = await generation.Decoder.create(engine, model, weights);
  const cache = decoder.newCache();
  const cached = Array.from(await decoder.forward(first.subarray(0, prompt), cache, 'all'));
  for (const id of first.subarray(prompt)) cached.push(...(await decoder.forward([id], cache)));
  await decoder.release();
  return { full: Array.from(results.logits!.data as Float32Array), cached };
}

/** Values inside the case's model, and their gradients, as plain arrays. */
async function taps(name: string, ids: number[], options: generation.TapOptions) {
  const { model, file } = await fetchModel(name);
  const weights = new Map<string, onnx.WeightSource>();
  for (const path of model.parameters().keys()) weights.set(path, { data: await file.readFloat32(path) });
  const runner = new generation.TapRunner(engine, model, weights);
  const result = await runner.run(ids, options);
  await runner.release();
  const plain = (values: Readonly<Record<string, generation.TapValue>>) =>
    Object.fromEntries(Object.entries(values).map(([key, { data }]) => [key, Array.from(data)]));
  return { loss: result.loss, values: plain(result.values), gradients: plain(result.gradients) };
}

/** Trains on WebGPU beside WebAssembly, and returns what `compareTraining` reports. */
async function trainBeside(given: TrainingCase, steps: number): Promise<Record<string, number | boolean>> {
  const wasm = await import('onnxruntime-web/wasm');
  wasm.env.wasm.wasmPaths = '/ort/';
  const cpu = runtime.webEngine(wasm, { threads: 1 });
  const found: Record<string, number | boolean> = {};
  await compareTraining({ cpu, device: engine }, given, steps, (check, value) => {
    found[check.slice(check.indexOf(': ') + 2)] = value;
  });
  return found;
}

const page = { gradients, curve, logits, taps, trainBeside };
export type BrowserPage = typeof page;
(globalThis as { ropewalk?: BrowserPage }).ropewalk = page;
