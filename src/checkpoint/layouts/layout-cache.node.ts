import { createHash } from 'node:crypto';
import { rename, rm, statfs, utimes } from 'node:fs/promises';
import { cpus } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { partialName } from '../../files/atomic.node.ts';
import { fileError } from '../../files/file-errors.ts';
import { makePrivateFolder } from '../../files/folders.node.ts';
import type { Lock } from '../../files/lock-file.node.ts';
import type { FileStamp } from '../../files/source.ts';
import type { ProvidedWeight } from '../../onnx/emit.ts';
import {
  type KeptFile,
  type Layout,
  type LayoutCache,
  type LayoutEngine,
  layOut,
  type PackedLayout,
  type PackedPaths,
} from '../../onnx/layout-cache.ts';
import type { StoredTensor } from '../../onnx/proto.ts';
import type { Quantization } from '../../onnx/quantize.ts';
import type { OpenedModel } from '../load.node.ts';
import {
  completeLayout,
  LAYOUT_VERSION,
  type LayoutDescription,
  openLayout,
  piecesOf,
  writeLayout,
} from './layout-file.node.ts';
import { lockUnlessHeld, RESERVE } from './lock.node.ts';
import { makeRoom } from './room.node.ts';
import type { LayoutCacheSettings } from './settings.node.ts';
import { settledStamps, stampsJson } from './stamps.node.ts';

/** At most so many bytes in a file with packed forms for each byte of weights. */
const PACKED_SHARE = 3;

const JUST_CHANGED = 'its files have just changed; try again in a moment';

function tooLarge(bytes: number, limit: number): string {
  return `it takes up to ${inMegabytes(bytes)}, and all together may take ${inMegabytes(limit)}; see ROPEWALK_LAYOUT_CACHE_SIZE`;
}

function diskFull(folder: string, bytes: number): string {
  return `the disk of ${folder} has less than ${inMegabytes(bytes + RESERVE)} left`;
}

function inMegabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}

/** Layouts of a model in a folder. */
export interface ModelLayoutOptions extends LayoutCacheSettings {
  /** As in `weightSources`. */
  readonly quantize?: Quantization | 'none' | undefined;
  /** Called when a layout was found, so that nothing is going to be read. */
  readonly onFound?: (() => void) | undefined;
  /** Whether files with packed forms are used, or made too; 'use' by default. */
  readonly packed?: 'ignore' | 'use' | 'make' | undefined;
  /** Called for each file with packed forms that is used. */
  readonly onPacked?: ((file: PackedLayout) => void) | undefined;
  /** Called with the reason if something asked for is not kept. */
  readonly onRefused?: ((reason: string) => void) | undefined;
}

/**
 * A cache of a model's weights in a folder. A layout is found by the hash of everything that determines it: the
 * inode, size, times and sampled bytes of the model's files; its configuration; the names and shapes of the tensors;
 * how they are quantized; the engine; and the version of our own code for it. Whatever changes, another layout is made.
 *
 * One process writes a layout; others that need it meanwhile start without one.
 */
export class ModelLayouts implements LayoutCache {
  readonly #model: OpenedModel;
  readonly #options: ModelLayoutOptions;

  constructor(model: OpenedModel, options: ModelLayoutOptions) {
    this.#model = model;
    this.#options = options;
  }

  async obtain(weights: readonly ProvidedWeight[], engine: LayoutEngine): Promise<Layout | undefined> {
    const { folder, limitBytes, minimumBytes, onFound } = this.#options;
    const { bytes } = layOut(weights);
    if (bytes < Math.max(1, minimumBytes)) return undefined;
    if (bytes > limitBytes) return this.#refuse(tooLarge(bytes, limitBytes));
    const stamps = await this.#stamps();
    if (!stamps) return this.#refuse(JUST_CHANGED);
    const key = this.#keyOf(stamps, weights, engine);
    const path = join(folder, `${key}.layout`);
    const found = await openFitting(path, key, weights);
    if (found) {
      // The time tells when it was last used; a folder that cannot be written keeps the old one.
      await utimes(path, new Date(), new Date()).catch(() => {});
      onFound?.();
      return found;
    }
    return this.#make(path, key, weights, engine);
  }

  get keepsPacked(): boolean {
    return this.#options.packed === 'make';
  }

  async findPacked(
    sessions: readonly (readonly ProvidedWeight[])[],
    engine: LayoutEngine,
  ): Promise<PackedLayout[] | undefined> {
    if (this.#options.packed === 'ignore') return undefined;
    const stamps = await this.#stamps();
    if (!stamps) return undefined;
    const found: PackedLayout[] = [];
    for (const weights of sessions) {
      const { path, key } = this.#packedFile(stamps, weights, engine);
      const packed = await openPacked(path, key, weights);
      if (!packed) {
        for (const { close } of found) await close();
        return undefined;
      }
      found.push(packed);
    }
    for (const file of found) {
      await utimes(file.path, new Date(), new Date()).catch(() => {});
      this.#options.onPacked?.(file);
    }
    this.#options.onFound?.();
    return found;
  }

  async keepPacked(
    weights: readonly ProvidedWeight[],
    engine: LayoutEngine,
    write: (paths: PackedPaths) => Promise<ReadonlyMap<string, StoredTensor>>,
  ): Promise<true | undefined> {
    const { folder, limitBytes } = this.#options;
    const stamps = await this.#stamps();
    if (!stamps) return this.#refuse(JUST_CHANGED);
    const { path, key } = this.#packedFile(stamps, weights, engine);
    const bytes = layOut(weights).bytes * PACKED_SHARE;
    if (bytes > limitBytes) return this.#refuse(tooLarge(bytes, limitBytes));
    const paths = { graph: partialName(path), weights: partialName(path) };
    let lock: Lock | undefined;
    try {
      await makePrivateFolder(folder);
      lock = await lockUnlessHeld(`${path}.lock`);
      if (!lock) return this.#refuse('another process is packing it');
      await makeRoom(folder, bytes, limitBytes);
      const { bavail, bsize } = await statfs(folder);
      if (bavail * bsize < bytes + RESERVE) return this.#refuse(diskFull(folder, bytes));
      const places = await write(paths);
      await completeLayout(paths.weights, {
        ...{ key, source: resolve(this.#model.checkpoint.path), form: `${this.#form()}, packed` },
        ...{ engine: engine.name, places: Object.fromEntries(places) },
      });
      if (!(await this.#stamps())) return this.#refuse(JUST_CHANGED);
      await rename(paths.weights, path);
      return true;
    } catch (error) {
      return this.#refuse((fileError(error, 'write', path) as Error).message);
    } finally {
      for (const partial of Object.values(paths)) await rm(partial, { force: true }).catch(() => {});
      await lock?.release();
    }
  }

  #refuse(reason: string): undefined {
    this.#options.onRefused?.(reason);
    return undefined;
  }

  /** How the engine packs depends on the processor's instructions and on what its products compute in. */
  #packedFile(stamps: readonly FileStamp[], weights: readonly ProvidedWeight[], engine: LayoutEngine) {
    const key = this.#keyOf(stamps, weights, engine, {
      processor: cpus()[0]?.model,
      products: weights.map(({ tensors }) => tensors.map(({ product }) => product?.weight)),
    });
    return { key, path: join(this.#options.folder, `${key}.packed`) };
  }

  async #make(path: string, key: string, weights: readonly ProvidedWeight[], engine: LayoutEngine) {
    const { folder, limitBytes } = this.#options;
    const { bytes } = layOut(weights);
    const reading = new Reading(weights);
    let lock: Lock | undefined;
    try {
      await makePrivateFolder(folder);
      lock = await lockUnlessHeld(`${path}.lock`);
      if (!lock) return this.#refuse('another process is writing its layout');
      // Another process may have finished it since.
      const found = await openFitting(path, key, weights);
      if (found) {
        this.#options.onFound?.();
        return found;
      }
      await makeRoom(folder, bytes, limitBytes);
      const { bavail, bsize } = await statfs(folder);
      if (bavail * bsize < bytes + RESERVE) return this.#refuse(diskFull(folder, bytes));
      const facts = { key, source: resolve(this.#model.checkpoint.path), form: this.#form() };
      await writeLayout(path, facts, reading.weights, engine);
      if (!(await this.#stamps())) {
        // The model's files changed while they were read.
        await rm(path, { force: true });
        return this.#refuse(JUST_CHANGED);
      }
      const made = await openFitting(path, key, weights);
      return made && { ...made, pieces: [] };
    } catch (error) {
      if (reading.failed) throw error;
      return this.#refuse((fileError(error, 'write', path) as Error).message);
    } finally {
      await lock?.release();
    }
  }

  /** The stamps of the model's files, unless one of them has just changed. */
  #stamps(): Promise<FileStamp[] | undefined> {
    const { tensors } = this.#model.checkpoint;
    return settledStamps(tensors.stamps && (() => tensors.stamps!()), this.#options.settledMs);
  }

  #form(): string {
    const { quantize } = this.#options;
    return typeof quantize === 'object'
      ? `int${quantize.bits}, blocks of ${quantize.block}`
      : (quantize ?? 'as stored');
  }

  #keyOf(
    stamps: readonly FileStamp[],
    weights: readonly ProvidedWeight[],
    engine: LayoutEngine,
    packed?: unknown,
  ): string {
    const { checkpoint, names } = this.#model;
    const facts = {
      version: LAYOUT_VERSION,
      engine: engine.name,
      form: this.#form(),
      stamps: stampsJson(stamps),
      config: checkpoint.config,
      names: [...names],
      tensors: weights.map(({ tensors }) => tensors.map(({ name, type, shape }) => [name, type, shape])),
      packed,
    };
    return createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 40);
  }
}

/** A file of the cache if it is whole and has this key. Whatever is wrong with it or its folder: it is not used. */
async function openKept(
  path: string,
  key: string,
  isFitting: (description: LayoutDescription) => boolean,
): Promise<{ file: KeptFile; description: LayoutDescription } | undefined> {
  const opened = await openLayout(path).catch(() => undefined);
  if (!opened) return undefined;
  const { handle, description } = opened;
  const { version, bytes } = description;
  if (version !== LAYOUT_VERSION || description.key !== key || !isFitting(description)) {
    await handle.close();
    return undefined;
  }
  const file: KeptFile = {
    ...{ path, file: handle.fd, bytes, pieces: piecesOf(description) },
    discard: () => rm(path, { force: true }).catch(() => {}),
    close: () => handle.close(),
  };
  return { file, description };
}

/** The layout in a file if it is that of these weights. */
async function openFitting(
  path: string,
  key: string,
  weights: readonly ProvidedWeight[],
): Promise<Layout | undefined> {
  const { offsets, bytes } = layOut(weights);
  const kept = await openKept(path, key, (description) => description.bytes === bytes);
  return kept && { ...kept.file, offsets };
}

/** Whether a place is as {@link StoredTensor} says, within a file of so many bytes. */
function isPlace(place: unknown, bytes: number): place is StoredTensor {
  const isEntry = (entry: unknown) =>
    Array.isArray(entry) && entry.length === 2 && entry.every((each) => typeof each === 'string');
  if (!Array.isArray(place) || !place.every(isEntry)) return false;
  const entries = place as StoredTensor;
  const { offset, length } = Object.fromEntries(entries);
  // key|offset;length;checksum[|offset;length;checksum]
  const blobs = entries
    .filter(([key]) => key.startsWith('prepacked'))
    .flatMap(([, value]) => value.split('|').slice(1))
    .map((blob) => blob.split(';'));
  return [[offset, length], ...blobs].every(
    ([start, size]) =>
      /^\d{1,15}$/.test(start ?? '') &&
      /^\d{1,15}$/.test(size ?? '') &&
      Number(start) + Number(size) <= bytes,
  );
}

/** The packed layout in a file if it is that of these weights. */
async function openPacked(
  path: string,
  key: string,
  weights: readonly ProvidedWeight[],
): Promise<PackedLayout | undefined> {
  const names = weights.flatMap(({ tensors }) => tensors.map(({ name }) => name));
  const kept = await openKept(path, key, ({ places = {}, bytes }) =>
    names.every((name) => Object.hasOwn(places, name) && isPlace(places[name], bytes)),
  );
  if (!kept) return undefined;
  // The engine wrote the name that the file had then.
  const here = (place: StoredTensor): StoredTensor =>
    place.map(([key, value]) => [key, key === 'location' ? basename(path) : value]);
  const places = new Map(names.map((name) => [name, here(kept.description.places![name]!)]));
  return { ...kept.file, places };
}

/** Weights that remember whether reading them failed: that is the model's fault, not the cache's. */
class Reading {
  failed = false;
  readonly weights: readonly ProvidedWeight[];

  constructor(weights: readonly ProvidedWeight[]) {
    this.weights = weights.map(({ tensors, fill }) => ({
      tensors,
      fill: async (targets) => {
        try {
          await fill(targets);
        } catch (error) {
          this.failed = true;
          throw error;
        }
      },
    }));
  }
}
