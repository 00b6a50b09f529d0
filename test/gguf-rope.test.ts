import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GgufFile } from '../src/checkpoint/gguf/reading/reader.ts';
import { openModel } from '../src/checkpoint/load.node.ts';
import { likeliest, referenceGguf, writeChangedGguf } from './helpers/changed-gguf.node.ts';
import { scratch } from './helpers/models.node.ts';

const { folder, remove } = scratch('gguf-rope');
afterAll(remove);

/** Made by llama.cpp: see make_gguf_rope.py. */
const { prompt, cases } = JSON.parse(
  readFileSync(new URL('./reference/gguf-rope.json', import.meta.url), 'utf8'),
) as {
  prompt: number[];
  cases: { name: string; settings: Record<string, string | number>; ids: number[] }[];
};

describe('a Llama GGUF file with RoPE scaling', () => {
  let file: GgufFile;
  beforeAll(async () => {
    file = await referenceGguf('llama', folder);
  });

  it.each(cases)("gives llama.cpp's tokens: $name", async ({ settings, ids }) => {
    const path = join(folder, 'scaled.gguf');
    await writeChangedGguf(path, file, { settings });
    expect(await likeliest(path, prompt, ids.length)).toEqual(ids);
  });

  it('gives different tokens in each case', () => {
    const of = (name: string) => cases.find((each) => each.name === name)!.ids;
    const different = ['none', 'a factor without a type', 'both keys', 'a factor below 1', 'yarn'];
    const more = ['yarn without a length', 'yarn with a factor of attention'];
    expect(new Set([...different, ...more].map((name) => String(of(name)))).size).toBe(7);
  });

  it.each([
    [{ 'llama.rope.scaling.type': 'longrope', 'llama.rope.scaling.factor': 4 }, /type "longrope" is not/],
    [{ 'llama.rope.scaling.factor': -2 }, /its RoPE scaling factor is -2/],
    [{ 'llama.rope.scaling.factor': Number.NaN }, /rope\.scaling\.factor/],
    [{ 'llama.rope.scaling.attn_factor': 0.5 }, /attn_factor" without YaRN is not supported/],
  ])('is refused when its scaling is not supported: %o', async (settings, message) => {
    const path = join(folder, 'refused.gguf');
    await writeChangedGguf(path, file, { settings });
    await expect(openModel(path)).rejects.toThrow(message);
  });
});
