import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { rm, statfs, utimes } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { makePrivateFolder } from '../../files/folders.node.ts';
import type { Lock } from '../../files/lock-file.node.ts';
import type { FileStamp } from '../../files/source.ts';
import type { ProvidedWeight } from '../../onnx/emit.ts';
import { type Layout, type LayoutCache, type LayoutEngine, layOut } from '../../onnx/layout-cache.ts';
import type { Quantization } from '../../onnx/quantize.ts';
import type { OpenedModel } from '../load.node.ts';
import { LAYOUT_VERSION, openLayout, writeLayout } from './layout-file.node.ts';
import { lockUnlessHeld, RESERVE } from './lock.node.ts';
import { makeRoom } from './room.node.ts';
import type { LayoutCacheSettings } from './settings.node.ts';

/** Layouts of a model in a folder. */
export interface ModelLayoutOptions extends LayoutCacheSettings {
  /** As in `weightSources`. */
  readonly quantize?: Quantization | 'none' | undefined;
  /** Called when a layout was found, so that nothing is going to be read. */
  readonly onFound?: (() => void) | undefined;
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
    if (bytes < Math.max(1, minimumBytes) || bytes > limitBytes) return undefined;
    const stamps = await this.#stamps();
    if (!stamps) return undefined;
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

  async #make(path: string, key: string, weights: readonly ProvidedWeight[], engine: LayoutEngine) {
    const { folder, limitBytes } = this.#options;
    const { bytes } = layOut(weights);
    const reading = new Reading(weights);
    let lock: Lock | undefined;
    try {
      await makePrivateFolder(folder);
      lock = await lockUnlessHeld(`${path}.lock`);
      if (!lock) return undefined;
      // Another process may have finished it since.
      const found = await openFitting(path, key, weights);
      if (found) {
        this.#options.onFound?.();
        return found;
      }
      await makeRoom(folder, bytes, limitBytes);
      const { bavail, bsize } = await statfs(folder);
      if (bavail * bsize < bytes + RESERVE) return undefined;
      const facts = { key, source: resolve(this.#model.checkpoint.path), form: this.#form() };
      await writeLayout(path, facts, reading.weights, engine);
      if (!(await this.#stamps())) {
        // The model's files changed while they were read.
        await rm(path, { force: true });
        return undefined;
      }
      const made = await openFitting(path, key, weights);
      return made && { ...made, pieces: [] };
    } catch (error) {
      if (reading.failed) throw error;
      return undefined;
    } finally {
      await lock?.release();
    }
  }

  /** The stamps of the model's files, unless one of them has just changed. */
  async #stamps(): Promise<FileStamp[] | undefined> {
    const stamps = await this.#model.checkpoint.tensors.stamps?.().catch(() => undefined);
    const { settledMs } = this.#options;
    const latest = BigInt(Date.now() - settledMs) * 1_000_000n;
    const isSettled = ({ modified, changed }: FileStamp) => modified < latest && changed < latest;
    return settledMs === 0 || stamps?.every(isSettled) ? stamps : undefined;
  }

  #form(): string {
    const { quantize } = this.#options;
    return typeof quantize === 'object'
      ? `int${quantize.bits}, blocks of ${quantize.block}`
      : (quantize ?? 'as stored');
  }

  #keyOf(stamps: readonly FileStamp[], weights: readonly ProvidedWeight[], engine: LayoutEngine): string {
    const { checkpoint, names } = this.#model;
    const facts = {
      version: LAYOUT_VERSION,
      engine: engine.name,
      form: this.#form(),
      stamps: stamps.map(({ sample, ...numbers }) => [sample, ...Object.values(numbers).map(String)]),
      config: checkpoint.config,
      names: [...names],
      tensors: weights.map(({ tensors }) => tensors.map(({ name, type, shape }) => [name, type, shape])),
    };
    return createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 40);
  }
}

/** The layout in a file if it is that of these weights. */
async function openFitting(
  path: string,
  key: string,
  weights: readonly ProvidedWeight[],
): Promise<Layout | undefined> {
  // Whatever is wrong with the file or the folder: the weights are read from the model.
  const opened = await openLayout(path).catch(() => undefined);
  if (!opened) return undefined;
  const { handle, description } = opened;
  const { offsets, bytes } = layOut(weights);
  const { version, pieces } = description;
  if (version !== LAYOUT_VERSION || description.key !== key || description.bytes !== bytes) {
    await handle.close();
    return undefined;
  }
  return { file: handle.fd, bytes, offsets, pieces, ...careOf(path, handle) };
}

function careOf(path: string, handle: FileHandle): Pick<Layout, 'discard' | 'close'> {
  return {
    discard: () => rm(path, { force: true }).catch(() => {}),
    close: () => handle.close(),
  };
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
