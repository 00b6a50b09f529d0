import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { type OpenedModel, openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { openSafetensors } from '../src/checkpoint/safetensors/safetensors-file.ts';
import { weightSources } from '../src/checkpoint/weight-sources.node.ts';
import { families } from '../src/families/registry.ts';
import { FileSource } from '../src/files/file.node.ts';
import { Decoder, fullLogitsGraph } from '../src/generation/decoder.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { Executable, type HostTensor } from '../src/runtime/executable.ts';
import { gradientName, trainingGraph } from '../src/training/graph.ts';

/**
 * Logits and gradients against transformers and PyTorch (test/reference/README.md), on configurations in which every
 * special case of a family bites.
 */
const reference = fileURLToPath(new URL('./reference/', import.meta.url));
const cases = readdirSync(reference).filter((name) => existsSync(`${reference}${name}/expected.safetensors`));
const engine = nodeEngine({ threads: 2 });

it('every family has a reference of transformers', () => {
  for (const { name } of families)
    expect(cases.filter((one) => one.split('-')[0] === name).length, name).toBeGreaterThanOrEqual(
      name === 'gpt' || name.startsWith('gemma') || name === 'gpt2' ? 1 : 3,
    );
});

function largest(values: ArrayLike<number>): number {
  let max = 0;
  for (let i = 0; i < values.length; i++) max = Math.max(max, Math.abs(values[i]!));
  return max;
}

function expectClose(actual: Float32Array, expected: Float32Array, bound: number) {
  expect(actual.length).toBe(expected.length);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!));
  expect(worst).toBeLessThanOrEqual(bound * largest(expected));
}

const LOGITS_BOUND = 2e-5;

describe.each(cases)('the model %s', (name) => {
  const path = `${reference}${name}`;
  const opening = (async () => {
    const opened = await openModel(path);
    const expected = await openSafetensors(await FileSource.open(`${path}/expected.safetensors`));
    const ids = Int32Array.from(await expected.readInts('ids'));
    const [batch, seq] = expected.tensors.get('ids')!.shape as [number, number];
    const logits = await expected.readFloat32('logits');
    return { opened, expected, ids, batch, seq, logits, ...(await weightSources(opened)) };
  })();
  afterAll(async () => (await opening).opened.checkpoint.tensors.close());

  it.each([undefined, 5, 16])(
    'gives the logits of transformers without a cache, queries in blocks of %s',
    async (block) => {
      const { opened, ids, batch, seq, logits, weights, folder } = await opening;
      const executable = await Executable.compile(engine, fullLogitsGraph(opened.model, batch, seq, block), {
        weights,
        ...(folder && { weightsFolder: folder }),
      });
      const result = await executable.run({ input_ids: { data: ids, shape: [ids.length] } });
      expectClose(result.logits!.data as Float32Array, logits, LOGITS_BOUND);
      await executable.release();
    },
  );

  it.each([1, 3, 7, 1000])('gives the same logits with a cache, %d tokens at a time', async (chunk) => {
    const { opened, ids, batch, seq, logits, weights, folder } = await opening;
    const decoder = await Decoder.create(
      engine,
      opened.model,
      weights,
      folder ? { weightsFolder: folder } : {},
    );
    const vocab = logits.length / (batch * seq);
    for (let row = 0; row < batch; row++) {
      const cache = decoder.newCache();
      const actual = new Float32Array(seq * vocab);
      for (let start = 0; start < seq; start += chunk) {
        const end = Math.min(seq, start + chunk);
        actual.set(
          await decoder.forward(ids.subarray(row * seq + start, row * seq + end), cache, 'all'),
          start * vocab,
        );
      }
      expectClose(actual, logits.subarray(row * seq * vocab, (row + 1) * seq * vocab), LOGITS_BOUND);
    }
    await decoder.release();
  });

  it.each([undefined, 8])(
    'gives the gradients of PyTorch in float64, queries in blocks of %s',
    async (block) => {
      const { opened, expected, ids, batch, seq } = await opening;
      const { loss, gradients } = await lossAndGradients(opened, ids, batch, seq, 1, block);
      const json = JSON.parse(readFileSync(`${path}/expected.json`, 'utf8')) as { loss: number };
      expect(Math.abs(loss - json.loss)).toBeLessThan(1e-5 * Math.abs(json.loss));
      const wanted = new Map<string, Float32Array>();
      for (const parameter of opened.model.parameters().keys()) {
        wanted.set(parameter, await expected.readFloat32(`grad.${opened.names.get(parameter)}`));
      }
      const norm = (values: Iterable<number>) => Math.hypot(...[...values].map((value) => value));
      const total = Math.sqrt([...wanted.values()].reduce((sum, gradient) => sum + norm(gradient) ** 2, 0));
      for (const [parameter, exact] of wanted) {
        const difference = gradients.get(parameter)!.map((value, i) => value - exact[i]!);
        expect(norm(difference), parameter).toBeLessThanOrEqual(1e-4 * norm(exact) + 1e-7 * total);
      }
    },
  );

  it('gives identical bits ten times in a row', async () => {
    const { opened, ids, batch, seq } = await opening;
    const first = await lossAndGradients(opened, ids, batch, seq, 10);
    expect(first.identical).toBe(true);
  });
});

/** Mean next-token loss over batch · (seq − 1) positions, and its gradients. */
async function lossAndGradients(
  opened: OpenedModel,
  ids: Int32Array,
  batch: number,
  seq: number,
  runs = 1,
  queryBlock?: number,
) {
  const { model } = opened;
  const executable = await Executable.compile(
    engine,
    trainingGraph(model, { batch, seq, ...(queryBlock && { queryBlock }) }),
  );
  const values = new Map([...model.parameters()].map(([path, { size }]) => [path, new Float32Array(size)]));
  await readWeights(opened, values);
  const rows = batch * seq;
  const targets = Int32Array.from({ length: rows }, (_, i) => ids[(i + 1) % rows]!);
  const last = (i: number) => i % seq === seq - 1;
  const weights = Float32Array.from({ length: rows }, (_, i) => (last(i) ? 0 : 1 / (batch * (seq - 1))));
  const feeds: Record<string, HostTensor> = {
    input_ids: { data: ids, shape: [rows] },
    targets: { data: targets, shape: [rows] },
    weights: { data: weights, shape: [rows] },
  };
  for (const [path, { shape }] of model.parameters()) feeds[path] = { data: values.get(path)!, shape };
  let result = await executable.run(feeds);
  let identical = true;
  for (let run = 1; run < runs; run++) {
    const again = await executable.run(feeds);
    for (const [name, { data }] of Object.entries(result)) {
      const bytes = (array: HostTensor['data']) =>
        Buffer.from(array.buffer, array.byteOffset, array.byteLength);
      if (!bytes(data).equals(bytes(again[name]!.data))) identical = false;
    }
    result = again;
  }
  await executable.release();
  const gradients = new Map<string, Float32Array>();
  for (const path of values.keys()) gradients.set(path, result[gradientName(path)]!.data as Float32Array);
  return { loss: (result.loss!.data as Float32Array)[0]!, gradients, identical };
}
