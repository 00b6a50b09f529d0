import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { openSafetensors } from '../src/checkpoint/safetensors/safetensors-file.ts';
import { writeWeightData } from '../src/export/external-data.ts';
import { onnxModel } from '../src/export/onnx.ts';
import { FileSource } from '../src/files/file.node.ts';
import { memorySink } from '../src/files/source.ts';
import { ropewalk } from './helpers/cli.node.ts';

/**
 * Exported graphs in plain ONNX Runtime against the logits of transformers (test/reference/README.md), on
 * configurations in which every special case of a family bites, windows shorter than the texts among them.
 */
const reference = fileURLToPath(new URL('./reference/', import.meta.url));
const cases = readdirSync(reference).filter((name) => existsSync(`${reference}${name}/expected.safetensors`));
const scratch = mkdtempSync(join(tmpdir(), 'ropewalk-export-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const BOUND = 2e-5;
/** Weights in float16 carry a relative error of up to 2⁻¹¹. */
const FLOAT16_BOUND = 4e-3;
const PADDING = 3;

type Feeds = Record<string, Tensor>;

/** Rows of ids → int64 `[rows, columns]`. */
function int64(rows: readonly ArrayLike<number>[]): Tensor {
  const data = BigInt64Array.from(
    rows.flatMap((row) => Array.from(row)),
    BigInt,
  );
  return new Tensor('int64', data, [rows.length, rows[0]!.length]);
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, bound: number) {
  expect(actual.length).toBe(expected.length);
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  expect(worst).toBeLessThanOrEqual(bound * largest);
}

async function prepare(name: string, dtype: 'float32' | 'float16') {
  const opened = await openModel(`${reference}${name}`);
  const { model, names } = opened;
  const { tensors } = opened.checkpoint;
  const folder = mkdtempSync(join(scratch, `${name}-`));
  const dataFile = 'model.onnx_data';
  const [cached, whole] = [true, false].map((cache) => onnxModel(model, { cache, dtype, dataFile }));
  const sink = memorySink();
  await writeWeightData(sink, cached!.weights, (path) => tensors.readFloat32(names.get(path)!));
  expect(sink.bytes().byteLength).toBe(cached!.dataBytes);
  expect(whole!.weights).toEqual(cached!.weights);
  writeFileSync(join(folder, dataFile), sink.bytes());
  writeFileSync(join(folder, 'model.onnx'), cached!.bytes);
  writeFileSync(join(folder, 'whole.onnx'), whole!.bytes);
  await tensors.close();
  const options = { intraOpNumThreads: 1 };
  const file = await FileSource.open(`${reference}${name}/expected.safetensors`);
  const expected = await openSafetensors(file);
  const [batch, seq] = expected.tensors.get('ids')!.shape as [number, number];
  const flat = Array.from(await expected.readInts('ids'));
  const logits = await expected.readFloat32('logits');
  await file.close();
  return {
    model,
    cached: await InferenceSession.create(join(folder, 'model.onnx'), options),
    whole: await InferenceSession.create(join(folder, 'whole.onnx'), options),
    rows: Array.from({ length: batch }, (_, i) => flat.slice(i * seq, (i + 1) * seq)),
    batch,
    seq,
    vocab: logits.length / (batch * seq),
    logits,
  };
}

function emptyCaches(session: InferenceSession, batch: number): Feeds {
  const feeds: Feeds = {};
  for (const meta of session.inputMetadata) {
    if (!meta.name.startsWith('past_key_values.') || !meta.isTensor) continue;
    const [, kv, , headDim] = meta.shape as [string, number, string, number];
    expect(meta.shape).toEqual(['batch_size', kv, 'past_sequence_length', headDim]);
    feeds[meta.name] = new Tensor('float32', new Float32Array(0), [batch, kv, 0, headDim]);
  }
  return feeds;
}

/**
 * Logits `[batch, seq, vocab]` of rows of one length, some tokens at a time, each run given what the last one returned.
 * @param kept 1 for tokens and 0 for padding; positions count the tokens alone, as Hugging Face's callers do.
 */
async function throughCaches(
  session: InferenceSession,
  rows: readonly (readonly number[])[],
  chunk: number,
  kept = rows.map((row) => row.map(() => 1)),
): Promise<Float32Array> {
  const batch = rows.length;
  const seq = rows[0]!.length;
  const positions = kept.map((row) => {
    let count = 0;
    return row.map((keep) => (keep ? count++ : 1));
  });
  let caches = emptyCaches(session, batch);
  let logits = new Float32Array(0);
  for (let start = 0; start < seq; start += chunk) {
    const end = Math.min(seq, start + chunk);
    const result = await session.run({
      input_ids: int64(rows.map((row) => row.slice(start, end))),
      attention_mask: int64(kept.map((row) => row.slice(0, end))),
      position_ids: int64(positions.map((row) => row.slice(start, end))),
      ...caches,
    });
    const { data, dims } = result.logits!;
    const vocab = dims[2]!;
    if (start === 0) logits = new Float32Array(batch * seq * vocab);
    for (let row = 0; row < batch; row++) {
      const own = (data as Float32Array).subarray(row * dims[1]! * vocab, (row + 1) * dims[1]! * vocab);
      logits.set(own, (row * seq + start) * vocab);
    }
    caches = Object.fromEntries(
      Object.keys(caches).map((name) => [name, result[name.replace('past_key_values', 'present')]!]),
    );
    for (const cache of Object.values(caches)) expect(cache.dims[2]).toBe(end);
  }
  return logits;
}

describe.each(cases)('the ONNX export of %s', (name) => {
  let made: Awaited<ReturnType<typeof prepare>>;
  beforeAll(async () => {
    made = await prepare(name, 'float32');
  });

  it('gives the logits of transformers for whole sequences', async () => {
    const { whole, rows, batch, seq, vocab, logits } = made;
    const positions = rows.map((row) => row.map((_, i) => i));
    const feeds = {
      input_ids: int64(rows),
      attention_mask: int64(rows.map((row) => row.map(() => 1))),
      position_ids: int64(positions),
    };
    expect([...whole.inputNames].sort()).toEqual(Object.keys(feeds).sort());
    expect(whole.outputNames).toEqual(['logits']);
    const result = await whole.run(feeds);
    expect(result.logits!.dims).toEqual([batch, seq, vocab]);
    expectClose(result.logits!.data as Float32Array, logits, BOUND);
  });

  it.each([1, 3, 1000])('gives the same logits through its caches, %d tokens at a time', async (chunk) => {
    const { cached, rows, batch, seq, vocab, logits } = made;
    const actual = await throughCaches(cached, rows, chunk);
    expect(actual.length).toBe(batch * seq * vocab);
    expectClose(actual, logits, BOUND);
  });

  it('gives the same logits for sequences of several lengths, padded on the left', async () => {
    const { cached, rows, vocab, logits, seq } = made;
    const short = rows[0]!.slice(0, seq - PADDING);
    const padded = [[...new Array<number>(PADDING).fill(0), ...short], rows[1]!];
    const kept = padded.map((row, i) => row.map((_, at) => (i === 0 && at < PADDING ? 0 : 1)));
    const actual = await throughCaches(cached, padded, 4, kept);
    const line = (row: number, from: number, to: number, values: Float32Array) =>
      values.subarray((row * seq + from) * vocab, (row * seq + to) * vocab);
    expectClose(line(0, PADDING, seq, actual), line(0, 0, seq - PADDING, logits), BOUND);
    expectClose(line(1, 0, seq, actual), line(1, 0, seq, logits), BOUND);
  });
});

it.each(['gemma2', 'gpt2', 'llama'])(
  'an ONNX export with float16 weights computes in float32: %s',
  async (name) => {
    const { cached, rows, logits } = await prepare(name, 'float16');
    const actual = await throughCaches(cached, rows, 3);
    expectClose(actual, logits, FLOAT16_BOUND);
    expect(() => expectClose(actual, logits, BOUND)).toThrow();
  },
);

describe('ropewalk export', () => {
  const model = `${reference}llama`;

  it('writes the files that it prints', async () => {
    const out = join(scratch, 'printed');
    const { code, stdout, stderr } = await ropewalk(['export', model, '--to', 'onnx', '--out', out]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/ONNX, float32, [\d,]+ parameters/);
    expect(stdout).toContain('onnx/model.onnx_data');
    expect(stderr).toContain('export 100%');
    expect(stderr).toContain('has no tokenizer.json, so the export has none either.');
  });

  it('prints JSON on request, and cuts shards as asked', async () => {
    const out = join(scratch, 'shards');
    const args = ['--dtype', 'bfloat16', '--max-shard-size', '20KB', '--json'];
    const { code, stdout } = await ropewalk(['export', model, '--to', 'hf', '--out', out, ...args]);
    expect(code).toBe(0);
    const { format, parameters, files } = JSON.parse(stdout);
    const expected = JSON.parse(readFileSync(`${model}/expected.json`, 'utf8'));
    expect({ format, parameters }).toEqual({ format: 'hf', parameters: expected.parameters });
    const names = files.map((file: { name: string }) => file.name).sort();
    expect(names).toEqual(readdirSync(out).sort());
    expect(names).toContain('model.safetensors.index.json');
  });

  it.each([
    [
      ['--to', 'onnx', '--max-shard-size', '1GB'],
      '--max-shard-size: ONNX has no such option; leave it out, or choose --to hf.',
    ],
    [['--to', 'hf', '--no-cache'], 'has no such option; leave it out, or choose --to onnx.'],
    [['--to', 'hf', '--cache', 'both'], 'has no such option; leave it out, or choose --to onnx.'],
    [['--to', 'onnx', '--dtype', 'bfloat16'], '--dtype: give float32 or float16, not "bfloat16".'],
    [['--to', 'hf', '--max-shard-size', '5 bananas'], 'Give a size such as 500MB'],
    [['--to', 'pickle'], 'Allowed choices are'],
    [[], "required option '--to <format>' not specified"],
  ])('refuses %j by name', async (args, message) => {
    const out = join(scratch, 'refused');
    const { code, stderr } = await ropewalk(['export', model, '--out', out, ...args]);
    expect(code).not.toBe(0);
    expect(stderr).toContain(message);
    expect(existsSync(out)).toBe(false);
  });
});
