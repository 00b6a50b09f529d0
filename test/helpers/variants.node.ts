import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { type OpenedModel, openModel } from '../../src/checkpoint/load.node.ts';
import { openSafetensors } from '../../src/checkpoint/safetensors/safetensors-file.ts';
import { saveModelDirectory } from '../../src/checkpoint/save.node.ts';
import { FileSource } from '../../src/files/file.node.ts';
import { createDecoder } from '../../src/generation/decoder.node.ts';

const reference = fileURLToPath(new URL('../reference/', import.meta.url));

/** A directory as people have them: a reference case with another configuration and other tensors. */
export interface Variant {
  readonly name: string;
  readonly base: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly changes: readonly {
    readonly op: 'copy' | 'move' | 'zeros' | 'strip' | 'rename';
    readonly from: string;
    readonly to: string;
    readonly scale: number;
    readonly roll: number;
    readonly shape: readonly number[];
    readonly prefix: string;
    readonly inner: string | null;
  }[];
}

export const { ids: VARIANT_IDS, cases: VARIANTS } = JSON.parse(
  readFileSync(`${reference}variants.json`, 'utf8'),
) as { ids: number[]; cases: Variant[] };

export function variant(name: string): Variant {
  return VARIANTS.find((each) => each.name === name)!;
}

/** transformers' logits of each variant, by its name. */
export async function variantLogits(): Promise<Map<string, Float32Array>> {
  const file = await openSafetensors(await FileSource.open(`${reference}variants.safetensors`));
  const logits = new Map<string, Float32Array>();
  for (const [i, { name }] of VARIANTS.entries()) logits.set(name, await file.readFloat32(String(i)));
  await file.close();
  return logits;
}

/** transformers' gradients of the mean next-token loss, by the weights' names. */
export async function variantGradients(name: string): Promise<Map<string, Float32Array>> {
  const prefix = `grad.${VARIANTS.findIndex((each) => each.name === name)}.`;
  const file = await openSafetensors(await FileSource.open(`${reference}variants.safetensors`));
  const gradients = new Map<string, Float32Array>();
  for (const key of file.tensors.keys()) {
    if (key.startsWith(prefix)) gradients.set(key.slice(prefix.length), await file.readFloat32(key));
  }
  await file.close();
  return gradients;
}

export async function withModel<T>(path: string, use: (model: OpenedModel) => Promise<T> | T): Promise<T> {
  const model = await openModel(path);
  try {
    return await use(model);
  } finally {
    await model.checkpoint.tensors.close();
  }
}

/** Logits `[ids, vocabulary]`, the ids given in pieces of these sizes, again and again. */
export async function cachedLogitsOf(
  model: OpenedModel,
  sizes: readonly number[],
  given: readonly number[] = VARIANT_IDS,
): Promise<Float32Array> {
  const decoder = await createDecoder(model, { threads: 1 });
  const cache = decoder.newCache();
  const vocab = model.config.vocab_size;
  const all = new Float32Array(given.length * vocab);
  for (let at = 0, i = 0; at < given.length; i++) {
    const ids = given.slice(at, at + sizes[i % sizes.length]!);
    all.set(await decoder.forward(ids, cache, 'all'), at * vocab);
    at += ids.length;
  }
  await decoder.release();
  return all;
}

/** Within a part of the largest number. */
export function expectClose(actual: Float32Array, expected: Float32Array, bound = 2e-5): void {
  expect(actual.length).toBe(expected.length);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const worst = actual.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  expect(worst / largest).toBeLessThanOrEqual(bound);
}

type Tensor = { readonly shape: readonly number[]; readonly data: Float32Array };

/** Writes a variant. The configuration is written as it stands, Python's Infinity and NaN too. */
export async function writeVariant(
  path: string,
  { base, config, changes }: Pick<Variant, 'base' | 'config' | 'changes'>,
): Promise<void> {
  const file = await openSafetensors(await FileSource.open(`${reference}${base}/model.safetensors`));
  let tensors = new Map<string, Tensor>();
  for (const [name, { shape }] of file.tensors)
    tensors.set(name, { shape, data: await file.readFloat32(name) });
  await file.close();
  for (const { op, from, to, scale, roll, shape, prefix, inner } of changes) {
    if (op === 'copy') tensors.set(to, rolled(tensors.get(from)!, scale, roll));
    else if (op === 'zeros')
      tensors.set(to, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
    else if (op === 'move') {
      tensors.set(to, tensors.get(from)!);
      tensors.delete(from);
    } else {
      const rename = (name: string) =>
        op === 'strip'
          ? name.replace(prefix, '')
          : prefix + (inner ? name.replace('layers.', `layers.${inner}.`) : name);
      tensors = new Map([...tensors].map(([name, tensor]) => [rename(name), tensor]));
    }
  }
  await saveModelDirectory(path, {
    config: {},
    tensors: [...tensors].map(([name, tensor]) => ({ name, ...tensor })),
  });
  const text = JSON.stringify(config).replaceAll(/"(-?Infinity|NaN)"/g, '$1');
  writeFileSync(join(path, 'config.json'), text);
}

function rolled({ shape, data }: Tensor, scale: number, roll: number): Tensor {
  const width = shape[1]!;
  const result = new Float32Array(data.length);
  result.set(data.subarray(data.length - roll * width));
  result.set(data.subarray(0, data.length - roll * width), roll * width);
  return { shape, data: result.map((value) => value * scale) };
}
