import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openGguf } from '../src/checkpoint/gguf/reading/reader.ts';
import type { GgufValue } from '../src/checkpoint/gguf/types.ts';
import type { GgufEntry } from '../src/checkpoint/gguf/writing/entries.ts';
import { openModel } from '../src/checkpoint/load.node.ts';
import { exportGguf } from '../src/export/gguf.node.ts';
import { memorySource } from '../src/files/source.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import { generateTokens } from '../src/generation/generate.ts';
import { rawGguf } from './helpers/raw-gguf.ts';
import { tinyTokenizer } from './helpers/tiny-tokenizer.ts';

/** Metadata as they are written again. */
function entriesOf(metadata: ReadonlyMap<string, GgufValue>): GgufEntry[] {
  return [...metadata].map(([key, value]): GgufEntry => {
    if (typeof value === 'string') return [key, 'string', value];
    if (typeof value === 'boolean') return [key, 'bool', value];
    if (Array.isArray(value)) return [key, { array: 'string' }, value];
    if (value instanceof Int32Array) return [key, { array: 'i32' }, value];
    return [key, /rms_epsilon|freq_base/.test(key) ? 'f32' : 'u32', value];
  });
}

/** Made by llama.cpp: see make_gguf_biases.py. */
const { prompt, cases } = JSON.parse(
  readFileSync(new URL('./reference/gguf-biases.json', import.meta.url), 'utf8'),
) as { prompt: number[]; cases: { name: string; missing: string[]; ids: number[] }[] };

it("a Llama file without some of its biases gives llama.cpp's tokens", async () => {
  const root = mkdtempSync(join(tmpdir(), 'ropewalk-biases-'));
  try {
    const folder = join(root, 'hf');
    cpSync(new URL('./reference/llama-bias/', import.meta.url).pathname, folder, { recursive: true });
    const { tokenizer, config } = tinyTokenizer();
    writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
    writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
    const whole = await openModel(folder);
    await exportGguf(whole, join(root, 'm.gguf'), { type: 'f32' });
    await whole.checkpoint.tensors.close();
    const file = await openGguf(memorySource(readFileSync(join(root, 'm.gguf'))));
    for (const { name, missing, ids } of cases) {
      const left = [...file.tensors].filter(
        ([tensor]) => !(tensor.endsWith('.bias') && missing.some((part) => tensor.includes(part))),
      );
      expect(left.length < file.tensors.size, name).toBe(missing.length > 0);
      const tensors = await Promise.all(
        left.map(async ([tensor, { shape, type, source, offset, byteLength }]) => ({
          ...{ name: tensor, shape, type },
          bytes: await source.read(offset, byteLength),
        })),
      );
      const path = join(root, 'less.gguf');
      writeFileSync(path, rawGguf(entriesOf(file.metadata), tensors));
      const opened = await openModel(path);
      const decoder = await createDecoder(opened, {});
      const found: number[] = [];
      for await (const id of generateTokens(decoder, prompt, { maxTokens: ids.length, greedy: true }))
        found.push(id);
      await decoder.release();
      await opened.checkpoint.tensors.close();
      expect(found, name).toEqual(ids);
    }
  } finally {
    rmSync(root, { recursive: true });
  }
});
