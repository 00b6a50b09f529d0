import { fileURLToPath } from 'node:url';
import { openSafetensors } from '../../src/checkpoint/safetensors/safetensors-file.ts';
import { FileSource } from '../../src/files/file.node.ts';
import type { TapOptions } from '../../src/generation/taps/taps.ts';
import { FAMILIES } from './families.ts';

/** Every family, and variants of some: the cases that have taps.safetensors (test/reference/make_taps.py). */
export const TAP_CASES = [
  ...FAMILIES,
  ...['gemma-mha', 'llama-rope-scaled', 'qwen2-window', 'gemma3-capped', 'hyperclovax-prenorm'],
];

/** What is asked of each case. */
export const TAP_OPTIONS: TapOptions = {
  taps: [
    'embedding',
    'layers.*.input',
    'layers.*.attention.capped_scores',
    'layers.*.attention.probabilities',
    'norm',
    'logits_before_cap',
  ],
  gradients: ['layers.*.input'],
};

export interface TapReference {
  readonly ids: Int32Array;
  readonly layers: number;
  readonly loss: number;
  readonly values: ReadonlyMap<string, Float32Array>;
}

export async function tapReference(name: string): Promise<TapReference> {
  const path = fileURLToPath(new URL(`../reference/${name}/taps.safetensors`, import.meta.url));
  const file = await openSafetensors(await FileSource.open(path));
  const ids = Int32Array.from(await file.readInts('ids'));
  const keys = [...file.tensors.keys()].filter((key) => key !== 'ids');
  const values = new Map<string, Float32Array>();
  for (const key of keys) values.set(key, await file.readFloat32(key));
  await file.close();
  return {
    ids,
    layers: keys.filter((key) => key.startsWith('stream.')).length,
    loss: values.get('loss')![0]!,
    values,
  };
}

/** Each value with what the reference calls it, and whether only what a query may see is compared. */
export function comparisons(layers: number): { name: string; kind: 'values' | 'gradients'; key: string }[] {
  const each = Array.from({ length: layers }, (_, i) => [
    { name: `layers.${i}.input`, kind: 'values' as const, key: `stream.${i}` },
    { name: `layers.${i}.attention.capped_scores`, kind: 'values' as const, key: `scores.${i}` },
    { name: `layers.${i}.attention.probabilities`, kind: 'values' as const, key: `probabilities.${i}` },
    { name: `layers.${i}.input`, kind: 'gradients' as const, key: `gradient.${i}` },
  ]);
  return [
    { name: 'embedding', kind: 'values', key: 'stream.0' },
    ...each.flat(),
    { name: 'norm', kind: 'values', key: 'norm' },
    { name: 'logits_before_cap', kind: 'values', key: 'raw_logits' },
  ];
}

/** The largest difference as a share of the largest value; the reference's masked scores are left out. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    if (expected[i]! < -5000) continue;
    difference = Math.max(difference, Math.abs(actual[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}
