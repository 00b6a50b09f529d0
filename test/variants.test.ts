import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scratch } from './helpers/models.node.ts';
import {
  cachedLogitsOf,
  expectClose,
  VARIANT_IDS,
  VARIANTS,
  variantLogits,
  withModel,
  writeVariant,
} from './helpers/variants.node.ts';

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

/** What each kind of variant says, by its name; all others say nothing. */
const SAYS: readonly (readonly [RegExp, RegExp])[] = [
  [/^a head of its own/, /has a separate head \("lm_head.weight"\) with different values, which is used/],
  [
    /^weights without a place/,
    /1 tensors .* are not part of the model .*"model\.layers\.0\.self_attn\.q_norm\.weight"/,
  ],
  [/^biases that the config/, /8 tensors .* are not part of the model/],
  [/^no theta/, /no "rope_theta"; 10000 is used/],
  [/^rope_scaling beside/, /"rope_scaling" and "rope_parameters" differ; "rope_scaling" is used/],
  [/^rope_scaling beside rope_parameters$/, /no "rope_theta"; 10000/],
  [/^no rms_norm_eps/, /transformers' class LlamaConfig .* rms_norm_eps 0.000001/],
  [
    /^no caps/,
    /Gemma2Config .*query_pre_attn_scalar 256, attn_logit_softcapping 50, final_logit_softcapping 30/,
  ],
  [/^no layer_norm_epsilon/, /GPT2Config .*layer_norm_epsilon 0.00001/],
  [/^no epsilon, CTRL/, /CTRLConfig .*layer_norm_epsilon 0.000001/],
];

describe.each(VARIANTS)('the model variant $name', ({ name, ...change }) => {
  it('gives the logits of transformers, whole and in chunks, with the expected warnings', async () => {
    await writeVariant(place(name), change);
    await withModel(place(name), async (model) => {
      expectClose(await cachedLogitsOf(model, [VARIANT_IDS.length]), logits.get(name)!);
      expectClose(await cachedLogitsOf(model, [5, 1, 1, 3]), logits.get(name)!);
      const said = SAYS.filter(([kind]) => kind.test(name)).map(([, text]) => expect.stringMatching(text));
      expect(model.warnings).toEqual(said);
    });
  });
});
