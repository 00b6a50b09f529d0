import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type GgufFile, openGguf } from '../../src/checkpoint/gguf/reading/reader.ts';
import type { GgufValue } from '../../src/checkpoint/gguf/types.ts';
import type { GgufEntry } from '../../src/checkpoint/gguf/writing/entries.ts';
import { openModel } from '../../src/checkpoint/load.node.ts';
import { exportGguf } from '../../src/export/gguf.node.ts';
import { memorySource } from '../../src/files/source.ts';
import { createDecoder } from '../../src/generation/decoder.node.ts';
import { generateTokens } from '../../src/generation/generate.ts';
import { rawGguf } from './raw-gguf.ts';
import { tinyTokenizer } from './tiny-tokenizer.ts';

/** A reference case as a GGUF file of float32, made in `folder`. */
export async function referenceGguf(name: string, folder: string): Promise<GgufFile> {
  const model = join(folder, 'hf');
  cpSync(fileURLToPath(new URL(`../reference/${name}/`, import.meta.url)), model, { recursive: true });
  addTinyTokenizer(model);
  const path = join(folder, 'whole.gguf');
  const opened = await openModel(model);
  await exportGguf(opened, path, { type: 'f32' });
  await opened.checkpoint.tensors.close();
  return openGguf(memorySource(readFileSync(path)));
}

/** GGUF is not written without a tokenizer: gives a folder one that fits the reference cases. */
export function addTinyTokenizer(folder: string): void {
  const { tokenizer, config } = tinyTokenizer();
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
}

/** Writes the file again, without the tensors that `keeps` denies and with other metadata besides. */
export async function writeChangedGguf(
  path: string,
  file: GgufFile,
  {
    keeps = () => true,
    settings = {},
  }: {
    keeps?: (tensor: string) => boolean;
    settings?: Readonly<Record<string, string | number>>;
  },
): Promise<void> {
  const tensors = await Promise.all(
    [...file.tensors]
      .filter(([tensor]) => keeps(tensor))
      .map(async ([tensor, { shape, type, source, offset, byteLength }]) => ({
        ...{ name: tensor, shape, type },
        bytes: await source.read(offset, byteLength),
      })),
  );
  const entries = entriesOf(new Map<string, GgufValue>([...file.metadata, ...Object.entries(settings)]));
  writeFileSync(path, rawGguf(entries, tensors));
}

/** Metadata as they are written again. */
function entriesOf(metadata: ReadonlyMap<string, GgufValue>): GgufEntry[] {
  return [...metadata].map(([key, value]): GgufEntry => {
    if (typeof value === 'string') return [key, 'string', value];
    if (typeof value === 'boolean') return [key, 'bool', value];
    if (Array.isArray(value)) return [key, { array: 'string' }, value];
    if (value instanceof Int32Array) return [key, { array: 'i32' }, value];
    const float = /rms_epsilon|freq_base|factor|scale_linear|yarn_beta/.test(key);
    return [key, float ? 'f32' : 'u32', value];
  });
}

/** The ids that a model at a path finds likeliest one after another. */
export async function likeliest(path: string, prompt: readonly number[], count: number): Promise<number[]> {
  const opened = await openModel(path);
  const decoder = await createDecoder(opened, { threads: 1 });
  const found: number[] = [];
  for await (const id of generateTokens(decoder, prompt, { maxTokens: count, greedy: true })) found.push(id);
  await decoder.release();
  await opened.checkpoint.tensors.close();
  return found;
}
