import fs from 'node:fs';
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { ProvidedWeight } from '../onnx/emit.ts';
import type { KeptFile, Layout, LayoutCache, LayoutEngine } from '../onnx/layout-cache.ts';
import type { EngineSession } from './engine.ts';
import { ENGINE_NAME, type Library, type MappedFile } from './library.node.ts';
import { ProvidedWeights } from './provided.node.ts';

/** While the engine packs weights, the pages that it has read are given back in steps of so many milliseconds. */
const STEP_MS = 10;

const READ_BYTES = 1 << 24;
/** A multiple of a piece's size. */
const VIEW_BYTES = 1 << 30;
/** While a file is checked, at most so many of its bytes stay in this process's memory. */
const DROPPED_BYTES = 1 << 25;
const read = promisify(fs.read);

/**
 * Opens sessions over weights from a cache. The file is mapped, and its checksums are verified while the engine packs
 * the weights in other threads: if one is wrong, the sessions are thrown away, the file removed and made again.
 *
 * @param provided the weights of each session.
 * @param open creates the sessions, and frees the weights if it fails.
 * @returns undefined if the weights are not kept.
 */
export async function openFromLayout(
  library: Library,
  provided: readonly (readonly ProvidedWeight[])[],
  layouts: LayoutCache,
  open: (weights: readonly ProvidedWeights[]) => Promise<EngineSession[]>,
): Promise<EngineSession[] | undefined> {
  // Twice: a damaged file is made again once.
  for (let attempt = 0; attempt < 2; attempt++) {
    const layout = await layouts.obtain(provided.flat(), layoutEngine(library));
    if (!layout) return undefined;
    const file = await inMemory(library, layout);
    if (!file) {
      await layout.close();
      return undefined;
    }
    let users = 1;
    const free = () => {
      users--;
      if (users === 0) file.free();
    };
    let first = 0;
    const weights = provided.map((each) => {
      const part = new ProvidedWeights(library);
      const tensors = each.flatMap((weight) => weight.tensors);
      part.addShared(tensors, layout.offsets.slice(first, first + tensors.length), { data: file.data, free });
      first += tensors.length;
      users++;
      return part;
    });
    let isPacking = true;
    const [opened, checked] = await Promise.allSettled([
      open(weights).finally(() => {
        isPacking = false;
      }),
      isIntact(library, layout, file).finally(() => layout.close()),
      (async () => {
        for (; isPacking; file.drop()) await sleep(STEP_MS);
      })(),
    ]);
    free();
    const isWhole = checked.status === 'fulfilled' && checked.value;
    if (isWhole && opened.status === 'fulfilled') return opened.value;
    if (isWhole && opened.status === 'rejected') throw opened.reason;
    if (opened.status === 'fulfilled') for (const session of opened.value) await session.release();
    await layout.discard();
  }
  return undefined;
}

/** The file's bytes: mapped, or read where mapping is not supported. */
async function inMemory(library: Library, layout: Layout): Promise<MappedFile | undefined> {
  return library.mapFile(layout.file, layout.bytes) ?? (await readWhole(library, layout));
}

async function readWhole(library: Library, { file, bytes }: Layout): Promise<MappedFile | undefined> {
  const { data, bytes: memory, free } = library.allocate(bytes);
  for (let done = 0; done < bytes; ) {
    const view = memory.subarray(done, Math.min(bytes, done + READ_BYTES));
    if (!(await readAt(file, view, done))) {
      free();
      return undefined;
    }
    done += view.length;
  }
  return { data, free, drop() {} };
}

/** Fills an array from a place in a file. @returns whether all of it could be read. */
export async function readAt(file: number, into: Uint8Array, offset: number): Promise<boolean> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await read(file, into, done, into.length - done, offset + done).catch(() => ({
      bytesRead: 0,
    }));
    if (bytesRead === 0) return false;
    done += bytesRead;
  }
  return true;
}

/**
 * Compares a file with its checksums, piece by piece.
 *
 * @param mapped the file, where it is mapped. A view counts as memory of JavaScript's, which would collect garbage for
 * each small one.
 */
export async function isIntact(
  library: Library,
  { file, pieces }: Pick<KeptFile, 'file' | 'pieces'>,
  mapped?: MappedFile,
): Promise<boolean> {
  let view = { start: 0, bytes: new Uint8Array() };
  let sinceDrop = 0;
  for (const { offset, bytes, matches } of pieces) {
    let piece: Uint8Array;
    if (mapped) {
      if (offset + bytes > view.start + view.bytes.length) {
        const end = pieces.at(-1)!.offset + pieces.at(-1)!.bytes;
        const length = Math.min(VIEW_BYTES, end - offset);
        const data = library.koffi.view(mapped.data + BigInt(offset), length);
        view = { start: offset, bytes: new Uint8Array(data) };
      }
      piece = view.bytes.subarray(offset - view.start, offset - view.start + bytes);
    } else {
      piece = new Uint8Array(bytes);
      if (!(await readAt(file, piece, offset))) return false;
    }
    if (!matches(piece)) return false;
    sinceDrop += bytes;
    if (sinceDrop < DROPPED_BYTES) continue;
    sinceDrop = 0;
    mapped?.drop();
    await immediate();
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
