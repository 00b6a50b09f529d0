/*
 * Runs the reference cases on WebGPU: `node child.js <case>…`. In a process of its own, since a graphics driver that
 * crashes takes its process with it. Prints one line of JSON for each check: {case, check, error}, the error as a share
 * of the largest expected value.
 */
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type OpenedModel, openModel, readWeights } from '../../src/checkpoint/load.node.ts';
import { openSafetensors } from '../../src/checkpoint/safetensors/safetensors-file.ts';
import { quantizedProducts, weightSources } from '../../src/checkpoint/weight-sources.node.ts';
import { FileSource } from '../../src/files/file.node.ts';
import { createDecoder } from '../../src/generation/decoder.node.ts';
import type { Decoder } from '../../src/generation/decoder.ts';
import { fullLogits } from '../../src/generation/score.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import { WholeGraphLearner } from '../../src/training/whole-graph-learner.ts';
import { dequantizedDecoder } from './dequantized.node.ts';
import { norm, relativeError } from './numbers.ts';
import { productChecks } from './webgpu-products.node.ts';

/** Training graphs compile slowly: on one case with RMSNorm, soft caps and windows, and one with LayerNorm. */
const TRAINED = ['gemma2', 'gpt2'];

const engine = nodeEngine({ provider: 'webgpu', threads: 1 });

async function run(name: string): Promise<void> {
  const path = fileURLToPath(new URL(`../reference/${name}`, import.meta.url));
  const report = (check: string, error: number) =>
    writeSync(1, `${JSON.stringify({ case: name, check, error })}\n`);
  const opened = await openModel(path);
  const expected = await openSafetensors(await FileSource.open(`${path}/expected.safetensors`));
  const [, seq] = expected.tensors.get('ids')!.shape as [number, number];
  const all = Int32Array.from(await expected.readInts('ids'));
  const ids = all.subarray(0, seq);
  const logits = (await expected.readFloat32('logits')).subarray(0, seq * opened.config.vocab_size);

  const { weights, folder, close } = await weightSources(opened);
  const settings = folder === undefined ? {} : { weightsFolder: folder };
  for await (const rows of fullLogits(engine, opened.model, weights, ids, settings)) {
    report('without a cache', relativeError(rows.logits, logits));
  }
  close();

  const decoder = await createDecoder(opened, { device: 'webgpu' });
  const cache = decoder.newCache();
  const cached: number[] = [];
  // A prompt, a piece of several tokens, then one by one, past every window.
  let start = 0;
  for (const end of [5, 8, ...Array.from({ length: seq - 8 }, (_, i) => i + 9)]) {
    cached.push(...(await decoder.forward(ids.subarray(start, end), cache, 'all')));
    start = end;
  }
  report('with a cache', relativeError(cached, logits));
  await decoder.release();

  if (name === 'llama') await inFewBits(opened, ids, report);

  if (TRAINED.includes(name)) {
    const shape = { batch: all.length / seq, seq };
    const session = await WholeGraphLearner.create(engine, opened.model, shape);
    await readWeights(opened, session.values());
    const targets = all.map((_, i) => all[(i + 1) % all.length]!);
    const weight = Float32Array.from(all, (_, i) => (i % seq === seq - 1 ? 0 : 1));
    await session.computeGradients([{ inputs: all, targets, weights: weight }]);
    let wrong = 0;
    let whole = 0;
    for (const { name: parameter, gradient } of session.trainables) {
      const exact = await expected.readFloat32(`grad.${opened.names.get(parameter)}`);
      wrong += norm(exact.map((value, i) => gradient[i]! - value)) ** 2;
      whole += norm(exact) ** 2;
    }
    report('gradients', Math.sqrt(wrong / whole));
    await session.release();
  }
  await expected.close();
  await opened.checkpoint.tensors.close();
}

/** Logits with quantized weights, and those of models that are not the same: see test/webgpu.test.ts. */
async function inFewBits(
  opened: OpenedModel,
  ids: Int32Array,
  report: (check: string, error: number) => void,
): Promise<void> {
  const logitsOf = async (decoder: Decoder) => {
    const rows = await decoder.forward(ids, decoder.newCache(), 'all');
    await decoder.release();
    return rows;
  };
  const cpu = nodeEngine({ threads: 1 });
  const unquantized = await logitsOf(await createDecoder(opened, { engine: cpu }));
  for (const bits of [8, 4] as const) {
    const quantize = { bits, block: 32 } as const;
    const expected = await logitsOf(await dequantizedDecoder(cpu, opened, quantize));
    report(`${bits} bits, unquantized`, relativeError(unquantized, expected));
    const wrong: number[] = [];
    for (const product of quantizedProducts(opened, quantize).keys()) {
      const decoder = await dequantizedDecoder(cpu, opened, quantize, (path, { scales }) => {
        if (path === product) scales[0]! *= 1.05;
      });
      wrong.push(relativeError(await logitsOf(decoder), expected));
    }
    report(`${bits} bits, wrong scale`, Math.min(...wrong));
    for (const activations of ['exact', 'int8'] as const) {
      const decoder = await createDecoder(opened, { device: 'webgpu', quantize, activations });
      report(`${bits} bits, ${activations}`, relativeError(await logitsOf(decoder), expected));
    }
  }
}

// Compiled kernels are kept as long as there is a session: this one makes the others twice as fast.
const path = fileURLToPath(new URL('../reference/gpt2', import.meta.url));
const keeper = await createDecoder(await openModel(path), { device: 'webgpu' });
const names = process.argv.slice(2);
for (const name of names) await run(name);
if (names.length > 0) {
  for (const { name, error, wrongScale } of await productChecks(engine)) {
    for (const [check, value] of Object.entries({ error, wrongScale })) {
      writeSync(1, `${JSON.stringify({ case: name, check, error: value })}\n`);
    }
  }
}
await keeper.release();
