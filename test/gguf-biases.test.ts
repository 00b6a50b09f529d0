import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { likeliest, referenceGguf, writeChangedGguf } from './helpers/changed-gguf.node.ts';
import { scratch } from './helpers/models.node.ts';

const { folder, remove } = scratch('gguf-biases');
afterAll(remove);

/** Made by llama.cpp: see make_gguf_biases.py. */
const { prompt, cases } = JSON.parse(
  readFileSync(new URL('./reference/gguf-biases.json', import.meta.url), 'utf8'),
) as { prompt: number[]; cases: { name: string; missing: string[]; ids: number[] }[] };

it("running a Llama GGUF file without some of its biases gives llama.cpp's tokens", async () => {
  const file = await referenceGguf('llama-bias', folder);
  for (const { name, missing, ids } of cases) {
    const keeps = (tensor: string) =>
      !(tensor.endsWith('.bias') && missing.some((part) => tensor.includes(part)));
    const kept = [...file.tensors.keys()].filter(keeps);
    expect(kept.length < file.tensors.size, name).toBe(missing.length > 0);
    const path = join(folder, 'less.gguf');
    await writeChangedGguf(path, file, { keeps });
    expect(await likeliest(path, prompt, ids.length), name).toEqual(ids);
  }
});
