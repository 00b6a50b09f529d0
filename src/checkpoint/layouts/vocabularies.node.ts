import { createHash } from 'node:crypto';
import { rm, statfs, utimes } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { makePrivateFolder } from '../../files/folders.node.ts';
import type { FileStamp } from '../../files/source.ts';
import type { ProvidedWeight } from '../../onnx/emit.ts';
import { TENSOR_ALIGNMENT } from '../../onnx/layout-cache.ts';
import type { TabledTokenizer } from '../../tokenizer/tables/scan-tokenizer.ts';
import { storedTables, TABLES_VERSION, tablesFromStored } from '../../tokenizer/tables/stored-tables.ts';
import { LAYOUT_VERSION, openLayout, piecesOf, writeLayout } from './layout-file.node.ts';
import { lockUnlessHeld, RESERVE } from './lock.node.ts';
import { makeRoom } from './room.node.ts';
import { type LayoutCacheOptions, layoutCacheSettings } from './settings.node.ts';
import { settledStamps, stampsJson } from './stamps.node.ts';

/** Who takes the layout of a vocabulary, instead of an engine. */
export const VOCABULARY_TAKER = `vocabulary ${TABLES_VERSION}`;

/** More than any vocabulary takes: one of 2^24 tokens and as many merges. */
const MOST_BYTES = 2 ** 31 - 1;

/** How vocabularies are kept; false keeps nothing and uses nothing. */
export type VocabularyCache = boolean | LayoutCacheOptions | undefined;

/** What a vocabulary is made from. */
export interface VocabularySource {
  /** The file, for people. */
  readonly path: string;
  /** The stamps of all files; undefined if one of them has changed since it was opened. */
  stamps(): Promise<FileStamp[] | undefined>;
  /** What else determines the tables: JSON. */
  readonly facts: unknown;
  /** The most tokens that it may have. */
  readonly mostTokens: number;
}

/**
 * A large vocabulary as tables, from the cache of layouts if it is there; otherwise it is made, and kept for later.
 * It is found by the inode, size, times and sampled bytes of its files. Whatever is wrong with the cache, the
 * vocabulary is made.
 *
 * @param make returns undefined for a tokenizer without tables
 * @throws what `make` throws, and RopewalkError for an invalid size in the environment
 */
export async function keptVocabulary(
  source: VocabularySource,
  cache: VocabularyCache,
  make: () => Promise<TabledTokenizer | undefined>,
): Promise<TabledTokenizer | undefined> {
  const options = typeof cache === 'object' ? cache : {};
  const settings = cache === false ? undefined : await layoutCacheSettings(options);
  if (!settings || source.mostTokens < settings.leastTokens) return make();
  const stamps = await settledStamps(() => source.stamps(), settings.settledMs);
  if (!stamps) return make();
  const key = keyOf(stamps, source.facts);
  const path = join(settings.folder, `${key}.layout`);
  const found = await read(path, key).catch(() => undefined);
  if (found) {
    // The time tells when it was last used; a folder that cannot be written keeps the old one.
    await utimes(path, new Date(), new Date()).catch(() => {});
    return found;
  }
  const made = await make();
  const arrays = made && made.tables.vocabulary.size >= settings.leastTokens ? storedTables(made) : undefined;
  if (arrays) await keep(path, key, arrays, source, settings).catch(() => {});
  return made;
}

function keyOf(stamps: readonly FileStamp[], facts: unknown): string {
  const all = {
    taker: VOCABULARY_TAKER,
    version: LAYOUT_VERSION,
    stamps: stampsJson(stamps),
    facts,
  };
  return createHash('sha256').update(JSON.stringify(all)).digest('hex').slice(0, 40);
}

/** @throws the operating system's error. */
async function read(path: string, key: string): Promise<TabledTokenizer | undefined> {
  const opened = await openLayout(path);
  if (!opened) return undefined;
  const { handle, description } = opened;
  try {
    const { version, engine, bytes } = description;
    const fits = version === LAYOUT_VERSION && engine === VOCABULARY_TAKER && description.key === key;
    if (!fits || bytes > MOST_BYTES) return undefined;
    const stored = new Uint8Array(bytes);
    for (const { offset, bytes: size, matches } of piecesOf(description)) {
      const part = stored.subarray(offset, offset + size);
      for (let done = 0; done < part.length; ) {
        const { bytesRead } = await handle.read(part, done, part.length - done, offset + done);
        if (bytesRead === 0) return undefined;
        done += bytesRead;
      }
      if (!matches(part)) return undefined;
    }
    return tablesFromStored(stored, TENSOR_ALIGNMENT);
  } finally {
    await handle.close();
  }
}

/** @throws whatever prevents that it is kept. */
async function keep(
  path: string,
  key: string,
  arrays: readonly Uint8Array[],
  source: VocabularySource,
  { folder, limitBytes }: { readonly folder: string; readonly limitBytes: number },
): Promise<void> {
  const bytes = arrays.reduce((sum, { length }) => sum + length + TENSOR_ALIGNMENT, 0);
  if (bytes > Math.min(limitBytes, MOST_BYTES)) return;
  await makePrivateFolder(folder);
  const lock = await lockUnlessHeld(`${path}.lock`);
  if (!lock) return;
  try {
    await makeRoom(folder, bytes, limitBytes);
    const { bavail, bsize } = await statfs(folder);
    if (bavail * bsize < bytes + RESERVE) return;
    const weights = arrays.map((array, i): ProvidedWeight => {
      const tensors = [{ name: String(i), type: 'uint8' as const, shape: [array.length] }];
      return { tensors, fill: async ([target]) => target!.set(array) };
    });
    const facts = { key, source: resolve(source.path), form: 'vocabulary' };
    const taker = {
      name: VOCABULARY_TAKER,
      allocate: (size: number) => ({ memory: new Uint8Array(size), free() {} }),
    };
    await writeLayout(path, facts, weights, taker);
    // The files may have changed while they were read.
    if (!(await source.stamps())) await rm(path, { force: true });
  } finally {
    await lock.release();
  }
}
