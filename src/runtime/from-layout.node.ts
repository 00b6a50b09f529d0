import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import type { ProvidedWeight } from '../onnx/emit.ts';
import type { Layout, LayoutCache, LayoutEngine } from '../onnx/layout-cache.ts';
import type { EngineSession } from './engine.ts';
import { ENGINE_NAME, type Library, type MappedFile } from './library.node.ts';
import { ProvidedWeights } from './provided.node.ts';

/** While the engine packs weights, the pages that it has read are given back in steps of so many milliseconds. */
const STEP_MS = 10;

const READ_BYTES = 1 << 24;
const read = promisify(fs.read);

/**
 * Opens a session over weights from a cache. The file is mapped, and its checksums are verified while the engine packs
 * the weights in another thread: if one is wrong, the session is thrown away, the file removed and made again.
 *
 * @param open creates a session, and frees the weights if it fails.
 * @returns undefined if the weights are not kept.
 */
export async function openFromLayout(
  library: Library,
  provided: readonly ProvidedWeight[],
  layouts: LayoutCache,
  open: (weights: ProvidedWeights) => Promise<EngineSession>,
): Promise<{ session: EngineSession; weights: ProvidedWeights } | undefined> {
  // Twice: a damaged file is made again once.
  for (let attempt = 0; attempt < 2; attempt++) {
    const layout = await layouts.obtain(provided, layoutEngine(library));
    if (!layout) return undefined;
    const file = await inMemory(library, layout);
    if (!file) return undefined;
    const weights = new ProvidedWeights(library);
    let isChecking = true;
    let isUnused = false;
    const free = () => {
      if (isChecking) isUnused = true;
      else file.free();
    };
    const tensors = provided.flatMap((weight) => weight.tensors);
    weights.addShared(tensors, layout.offsets, { data: file.data, free });
    let isPacking = true;
    const [opened, checked] = await Promise.allSettled([
      open(weights).finally(() => {
        isPacking = false;
      }),
      isIntact(library, layout, file).then(async (intact) => {
        for (; isPacking; file.drop()) await sleep(STEP_MS);
        return intact;
      }),
    ]);
    isChecking = false;
    if (isUnused) file.free();
    const isWhole = checked.status === 'fulfilled' && checked.value;
    if (isWhole && opened.status === 'fulfilled') return { session: opened.value, weights };
    if (isWhole && opened.status === 'rejected') throw opened.reason;
    if (opened.status === 'fulfilled') await opened.value.release();
    await layout.discard();
  }
  return undefined;
}

/** The file's bytes: mapped, or read where mapping is not supported. Closes the file. */
async function inMemory(library: Library, layout: Layout): Promise<MappedFile | undefined> {
  try {
    return library.mapFile(layout.file, layout.bytes) ?? (await readWhole(library, layout));
  } finally {
    await layout.close();
  }
}

async function readWhole(library: Library, { file, bytes }: Layout): Promise<MappedFile | undefined> {
  const { data, bytes: memory, free } = library.allocate(bytes);
  for (let done = 0; done < bytes; ) {
    const length = Math.min(READ_BYTES, bytes - done);
    const { bytesRead } = await read(file, memory, done, length, done).catch(() => ({ bytesRead: 0 }));
    if (bytesRead === 0) {
      free();
      return undefined;
    }
    done += bytesRead;
  }
  return { data, free, drop() {} };
}

/** Compares the file with its checksums, piece by piece. */
async function isIntact(library: Library, layout: Layout, mapped: MappedFile): Promise<boolean> {
  for (const { offset, bytes, crc } of layout.pieces) {
    const view = library.koffi.view(BigInt(mapped.data) + BigInt(offset), bytes);
    if (crc32(new Uint8Array(view)) !== crc) return false;
    mapped.drop();
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return true;
}

/** What a cache must know of a library. */
export function layoutEngine(library: Library): LayoutEngine {
  return {
    name: ENGINE_NAME,
    allocate(bytes) {
      const { bytes: memory, free } = library.allocate(bytes);
      return { memory, free };
    },
  };
}
