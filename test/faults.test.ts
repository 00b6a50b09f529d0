import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openModel, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.node.ts';
import { likeliest } from './helpers/changed-gguf.node.ts';
import { cachedLogitsOf, expectClose, withModel } from './helpers/variants.node.ts';

/** Files that were once read wrongly (test/faults/README.md); their kinds have tests of their own. */
const FAULTS = fileURLToPath(new URL('faults', import.meta.url));
const having = (file: string) =>
  readdirSync(FAULTS)
    .filter((name) => existsSync(join(FAULTS, name, file)))
    .sort();
const at = (name: string, file = '') => join(FAULTS, name, file);
const IDS = [5, 17, 99, 3, 256, 42, 7, 7, 300, 12];

interface Expected {
  readonly text: string;
  readonly ids: number[];
  readonly decoded?: string;
}

describe('the tokenizers of faults found earlier', () => {
  it.each(having('expected.json').filter((name) => name !== 'rows'))(
    'give the expected ids and texts: %s',
    async (name) => {
      const gguf = existsSync(at(name, 'm.gguf'));
      const tokenizer = gguf
        ? await withModel(at(name, 'm.gguf'), async ({ checkpoint }) => (await tokenizerOf(checkpoint))!)
        : loadTokenizer(at(name));
      for (const { text, ids, decoded } of JSON.parse(
        readFileSync(at(name, 'expected.json'), 'utf8'),
      ) as Expected[]) {
        if (ids === undefined) continue;
        expect(tokenizer.encode(text), text).toEqual(ids);
        if (decoded !== undefined) expect(tokenizer.decode(ids), text).toBe(decoded);
      }
    },
  );
});

/** float32 `[rows, columns]` of a file of numpy's. */
function readNpy(path: string): Float32Array {
  const bytes = readFileSync(path);
  const start = 10 + bytes.readUInt16LE(8);
  expect(bytes.toString('latin1', 10, start)).toMatch(/'<f4'.*'fortran_order': False/);
  return new Float32Array(new Uint8Array(bytes.subarray(start)).buffer);
}

describe('the models of faults found earlier', () => {
  it.each(having('logits.npy'))("give transformers' logits: %s", async (name) => {
    await withModel(at(name), async (model) => {
      expectClose(await cachedLogitsOf(model, [10], IDS), readNpy(at(name, 'logits.npy')));
      expectClose(await cachedLogitsOf(model, [3, 1], IDS), readNpy(at(name, 'logits.npy')));
      const silent = ['pad-minus-one', 'tied-saved-under-lm_head'];
      if (!silent.includes(name)) expect(model.warnings).not.toEqual([]);
    });
  });

  it.each([
    ['gguf-rope-factor-without-type', [223, 297, 297, 297, 174, 74, 74, 229]],
    ['gguf-bad-special-id', [426, 407, 297, 44, 94, 209, 108, 363]],
    ['gguf-bias-without-output', [254, 39, 270, 135, 129, 229, 253, 79]],
  ])("give llama.cpp's tokens: %s", async (name, ids) => {
    expect(await likeliest(at(name, 'm.gguf'), IDS, ids.length)).toEqual(ids);
  });

  it('end a text at <|im_end|> whatever its token type: gguf-im_end-normal', async () => {
    await withModel(at('gguf-im_end-normal', 'm.gguf'), ({ stopTokens }) => {
      expect(stopTokens).toContain(297);
    });
  });

  it.each([
    ['quantization_config-bnb4', /quantized by bitsandbytes/],
    ['quantization_config-gptq', /quantized by GPTQ/],
    ['git-lfs-pointer', /Git LFS pointer.*git lfs pull/],
  ])('are refused by name: %s', async (name, message) => {
    await expect(openModel(at(name))).rejects.toThrow(message);
  });
});
