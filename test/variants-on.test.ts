import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readWeights } from '../src/checkpoint/load.node.ts';
import { exportGguf } from '../src/export/gguf.node.ts';
import { exportHuggingFace } from '../src/export/hf.node.ts';
import { exportOnnx } from '../src/export/onnx.node.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { WholeGraphLearner } from '../src/training/whole-graph-learner.ts';
import { addTinyTokenizer } from './helpers/changed-gguf.node.ts';
import { ropewalk } from './helpers/cli.node.ts';
import { scratch } from './helpers/models.node.ts';
import {
  cachedLogitsOf,
  expectClose,
  VARIANT_IDS,
  variant,
  variantGradients,
  variantLogits,
  withModel,
  writeVariant,
} from './helpers/variants.node.ts';

/** Where directories as people have them (make_variants.py) go on to: exports, training, inspect. */
const { folder, remove } = scratch('variants-on');
afterAll(remove);
let logits: Map<string, Float32Array>;
beforeAll(async () => {
  logits = await variantLogits();
});
let count = 0;

async function made(name: string): Promise<string> {
  const path = join(folder, String(count++));
  await writeVariant(path, variant(name));
  addTinyTokenizer(path);
  return path;
}

/** The logits of an exported graph, whole and through its caches. */
async function onnxLogits(path: string): Promise<[whole: Float32Array, cached: Float32Array]> {
  const int64 = (ids: readonly number[]) =>
    new Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]);
  const positions = VARIANT_IDS.map((_, i) => i);
  const feeds = (start: number, end: number) => ({
    input_ids: int64(VARIANT_IDS.slice(start, end)),
    attention_mask: int64(VARIANT_IDS.slice(0, end).map(() => 1)),
    position_ids: int64(positions.slice(start, end)),
  });
  const open = (name: string) => InferenceSession.create(join(path, 'onnx', name), { intraOpNumThreads: 1 });
  const whole = await open('model_no_cache.onnx');
  const { logits: all } = await whole.run(feeds(0, VARIANT_IDS.length));
  await whole.release();
  const session = await open('model.onnx');
  let caches: Record<string, Tensor> = {};
  for (const meta of session.inputMetadata) {
    if (!meta.name.startsWith('past_key_values.') || !meta.isTensor) continue;
    const [, heads, , headDim] = meta.shape as [string, number, string, number];
    caches[meta.name] = new Tensor('float32', new Float32Array(0), [1, heads, 0, headDim]);
  }
  const pieces: number[] = [];
  for (const [start, end] of [
    [0, 5],
    [5, 6],
    [6, VARIANT_IDS.length],
  ] as const) {
    const result = await session.run({ ...feeds(start, end), ...caches });
    pieces.push(...(result.logits!.data as Float32Array));
    caches = Object.fromEntries(
      Object.keys(caches).map((name) => [name, result[name.replace('past_key_values', 'present')]!]),
    );
  }
  await session.release();
  return [all!.data as Float32Array, Float32Array.from(pieces)];
}

const EXPORTED = [
  'a head of its own, llama',
  'a head of its own, gpt2',
  'a head of its own, GPT-2 without prefix',
  'saved under the head, llama',
  'saved under the head, gpt2',
  'linear, not a power of two',
  'linear, gemma',
  'yarn',
  'yarn, gemma',
  'yarn with mscale',
  'dynamic, up to the last position',
  'module._orig_mod.',
  'rope_scaling beside rope_parameters',
];
/** What Hugging Face's format and ONNX take, and llama.cpp does not. */
const NOT_GGUF: readonly (readonly [string, RegExp])[] = [
  ['a head of its own, gemma2', /its output head has its own weights/],
  [
    'yarn with a factor of attention',
    /YaRN scaling has the bounds "beta_fast" 4 and "beta_slow" 0.5, not 32 and 1/,
  ],
  ['yarn without rounding', /its YaRN scaling does not round its bounds/],
];

describe.each([...EXPORTED, ...NOT_GGUF.map(([name]) => name)])('exporting a model with %s', (name) => {
  let path: string;
  beforeAll(async () => {
    path = await made(name);
  });

  it('to Hugging Face preserves its logits', async () => {
    const out = `${path}-hf`;
    await withModel(path, (model) => exportHuggingFace(model, out));
    const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
    if (name.startsWith('a head of its own')) expect(config.tie_word_embeddings).toBe(false);
    if (name.startsWith('dynamic')) expect(config.rope_scaling).toEqual({ rope_type: 'dynamic', factor: 2 });
    await withModel(out, async (model) => {
      expect(model.warnings).toEqual([]);
      expectClose(await cachedLogitsOf(model, [7, 1]), logits.get(name)!);
    });
  });

  it('to ONNX preserves its logits', async () => {
    const out = `${path}-onnx`;
    await withModel(path, (model) => exportOnnx(model, out, { cache: 'both' }));
    for (const found of await onnxLogits(out)) expectClose(found, logits.get(name)!);
  });

  it('to GGUF preserves its logits or is refused', async () => {
    const out = `${path}.gguf`;
    const [, refused] = NOT_GGUF.find(([each]) => each === name) ?? [];
    await withModel(path, async (model) => {
      const written = exportGguf(model, out, { type: 'f32' });
      if (refused) await expect(written).rejects.toThrow(refused);
      else if (name.startsWith('dynamic'))
        expect((await written).notes).toContainEqual(expect.stringContaining('no dynamic RoPE scaling'));
      else await written;
    });
    if (refused) return;
    await withModel(out, async (model) => {
      expect(model.warnings).toEqual([]);
      expectClose(await cachedLogitsOf(model, [7, 1]), logits.get(name)!);
    });
  });
});

describe('training a model variant', () => {
  it.each([
    'a head of its own, llama',
    'a head of its own, gpt2',
    'linear, not a power of two',
    'yarn with a factor of attention',
    'dynamic, up to the last position',
  ])("computes transformers' gradients: %s", async (name) => {
    const expected = await variantGradients(name);
    expect(expected.size).toBe(name.includes('gpt2') ? 3 : name.startsWith('a head') ? 4 : 3);
    await withModel(await made(name), async (model) => {
      const seq = VARIANT_IDS.length - 1;
      const engine = nodeEngine({ threads: 1 });
      const session = await WholeGraphLearner.create(engine, model.model, { batch: 1, seq });
      await readWeights(model, session.values());
      const [inputs, targets] = [VARIANT_IDS.slice(0, seq), VARIANT_IDS.slice(1)];
      await session.computeGradients([
        { inputs: Int32Array.from(inputs), targets: Int32Array.from(targets) },
      ]);
      const found = new Map(session.trainables.map(({ name, gradient }) => [name, gradient]));
      for (const [weight, gradient] of expected) expectClose(found.get(weight)!, gradient, 1e-4);
      await session.release();
    });
  });
});

describe('ropewalk inspect', () => {
  it.each([
    ['linear, not a power of two', /RoPE scaling\s+│ linear ×3\.7\s+│$/m],
    ['yarn', /RoPE scaling\s+│ yarn ×4, from 16\s+│$/m],
    ['dynamic', /RoPE scaling\s+│ dynamic ×2\s+│$/m],
    ['linear by 1', /RoPE scaling\s+│ none\s+│$/m],
  ])('says how RoPE is scaled: %s', async (name, line) => {
    const { stdout, stderr } = await ropewalk(['inspect', await made(name)]);
    expect(stderr).toBe('');
    expect(stdout).toMatch(line);
  });
});

describe('dynamic RoPE scaling', () => {
  it('equals plain RoPE up to the last position, and longer sequences are refused', async () => {
    await withModel(await made('dynamic, up to the last position'), async (model) => {
      await expect(cachedLogitsOf(model, [20, 1], [...VARIANT_IDS, 7])).rejects.toThrow(
        /21 tokens long, but this model has 20 positions \(its dynamic RoPE scaling for longer sequences is not supported\)/,
      );
    });
  });
});
