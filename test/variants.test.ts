import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OpenedModel, openModel } from '../src/checkpoint/load.node.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import { exportHuggingFace } from '../src/node.ts';
import { scratch } from './helpers/models.node.ts';
import { VARIANT_IDS, VARIANTS, variant, variantLogits, writeVariant } from './helpers/variants.node.ts';

/**
 * Directories as people have them (test/reference/make_variants.py): what transformers opens gives transformers' logits,
 * with a cache and without.
 */
const { folder, remove } = scratch('variants');
afterAll(remove);
let logits: Map<string, Float32Array>;
beforeAll(async () => {
  logits = await variantLogits();
});

const place = (name: string) => join(folder, String(VARIANTS.findIndex((each) => each.name === name)));

async function opened(path: string, use: (model: OpenedModel) => Promise<void> | void) {
  const model = await openModel(path);
  try {
    await use(model);
  } finally {
    await model.checkpoint.tensors.close();
  }
}

async function cached(model: OpenedModel, sizes: readonly number[]): Promise<Float32Array> {
  const decoder = await createDecoder(model, { threads: 1 });
  const cache = decoder.newCache();
  const vocab = model.config.vocab_size;
  const all = new Float32Array(VARIANT_IDS.length * vocab);
  for (let at = 0, i = 0; at < VARIANT_IDS.length; i++) {
    const ids = VARIANT_IDS.slice(at, at + sizes[i % sizes.length]!);
    all.set(await decoder.forward(ids, cache, 'all'), at * vocab);
    at += ids.length;
  }
  await decoder.release();
  return all;
}

function expectClose(actual: Float32Array, name: string, bound = 2e-5) {
  const expected = logits.get(name)!;
  expect(actual.length).toBe(expected.length);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const worst = actual.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  expect(worst / largest).toBeLessThanOrEqual(bound);
}

/** What each kind of variant says, by its name; all others say nothing. */
const SAYS: readonly (readonly [RegExp, RegExp])[] = [
  [/^a head of its own/, /has a head of its own \("lm_head.weight"\) with other numbers, which counts/],
  [/^weights without a place/, /no place for 1 tensors .*"model\.layers\.0\.self_attn\.q_norm\.weight"/],
  [/^biases that the config/, /no place for 8 tensors/],
  [/^no theta/, /no "rope_theta", and 10000 is taken/],
  [/^rope_scaling beside/, /"rope_scaling" and "rope_parameters" differ; "rope_scaling" counts/],
  [/^rope_scaling beside rope_parameters$/, /no "rope_theta", and 10000/],
  [/^no rms_norm_eps/, /LlamaConfig of transformers .* rms_norm_eps 0.000001/],
  [
    /^no caps/,
    /Gemma2Config .*query_pre_attn_scalar 256, attn_logit_softcapping 50, final_logit_softcapping 30/,
  ],
  [/^no layer_norm_epsilon/, /GPT2Config .*layer_norm_epsilon 0.00001/],
  [/^no epsilon, CTRL/, /CTRLConfig .*layer_norm_epsilon 0.000001/],
];

describe.each(VARIANTS)('$name', ({ name, ...change }) => {
  it('gives the logits of transformers, whole and in pieces, and says what there is to say', async () => {
    await writeVariant(place(name), change);
    await opened(place(name), async (model) => {
      expectClose(await cached(model, [VARIANT_IDS.length]), name);
      expectClose(await cached(model, [5, 1, 1, 3]), name);
      const said = SAYS.filter(([kind]) => kind.test(name)).map(([, text]) => expect.stringMatching(text));
      expect(model.warnings).toEqual(said);
    });
  });
});

const EXPORTED = [
  'a head of its own, llama',
  'a head of its own, gpt2',
  'a head of its own, gemma2',
  'saved under the head, llama',
  'linear, not a power of two',
  'linear, gemma2',
  'yarn',
  'yarn with a factor of attention',
  'module._orig_mod.',
  'rope_scaling beside rope_parameters',
];

describe.each(EXPORTED)('exported: %s', (name) => {
  it('to Hugging Face', async () => {
    const path = join(folder, `hf-${VARIANTS.indexOf(variant(name))}`);
    await opened(place(name), async (model) => {
      await exportHuggingFace(model, path);
    });
    await opened(path, async (model) => {
      expect(model.warnings).toEqual([]);
      expectClose(await cached(model, [7, 1]), name);
    });
  });
});
