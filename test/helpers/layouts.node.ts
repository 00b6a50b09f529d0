import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { openModel } from '../../src/checkpoint/load.node.ts';
import { createDecoder, type DecoderOptions } from '../../src/generation/decoder.node.ts';
import { scratch } from './models.node.ts';
import { writeRandomGguf } from './random-gguf.node.ts';

const IDS = [5, 42, 15, 52, 25];

/** What may have become of a file of the cache. */
export const DAMAGED: readonly [string, (good: Uint8Array) => Uint8Array][] = [
  ['truncated', (good) => good.subarray(0, good.length / 2)],
  ['emptied', () => new Uint8Array(0)],
  ['foreign', () => Uint8Array.from({ length: 5000 }, (_, i) => i * 31)],
];

/** Bytes of which one has a flipped bit, at a share of their length. */
export function withFlippedBit(good: Uint8Array, share: number): Uint8Array {
  const bad = Uint8Array.from(good);
  bad[Math.floor(share * bad.length)]! ^= 4;
  return bad;
}

/** Puts other bytes in a file's place, beside and renamed: a file that is mapped must not change. */
export function replaceFile(path: string, bytes: Uint8Array): void {
  writeFileSync(`${path}.new`, bytes);
  renameSync(`${path}.new`, path);
}

export interface Started {
  readonly logits: Float32Array;
  /** Whether weights were read from the model's own files. */
  readonly read: boolean;
}

/** A folder for models, and an empty cache of layouts for each test. */
export function layoutTests(name: string) {
  const { folder: root, remove } = scratch(name);
  let count = 0;
  let folder = '';

  /** Begins a test. @returns the folder of its cache, which does not exist yet. */
  const newCache = () => {
    folder = join(root, `cache${count++}`);
    return folder;
  };

  /** Opens a model, runs a few tokens and closes it. */
  const run = async (path: string, options: DecoderOptions = {}): Promise<Started> => {
    const opened = await openModel(path);
    const shares: number[] = [];
    const decoder = await createDecoder(opened, {
      ...{ threads: 1, onProgress: (share: number) => shares.push(share) },
      layoutCache: { folder, minimumBytes: 0, settledMs: 0 },
      ...options,
    });
    await opened.checkpoint.tensors.close();
    const logits = await decoder.forward(IDS, decoder.newCache(), 'all');
    await decoder.release();
    expect(Math.max(...shares)).toBeLessThanOrEqual(1);
    // A layout that is found is everything at once.
    return { logits, read: !(shares.length === 1 && shares[0] === 1) };
  };

  const layoutsIn = (place = folder) =>
    existsSync(place) ? readdirSync(place).filter((each) => each.endsWith('.layout')) : [];
  const onlyLayout = () => {
    const names = layoutsIn();
    expect(names).toHaveLength(1);
    return join(folder, names[0]!);
  };

  const gguf = (type: Parameters<typeof writeRandomGguf>[2], family = 'llama') =>
    writeRandomGguf(root, family, type).path;

  return { root, remove, newCache, run, layoutsIn, onlyLayout, gguf };
}
