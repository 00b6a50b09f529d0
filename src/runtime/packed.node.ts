import { fstatSync } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ProvidedTensor } from '../onnx/emit.ts';
import { type KeptFile, type LayoutCache, type PackedPaths, tensorBytes } from '../onnx/layout-cache.ts';
import { type StoredTensor, tensorsInFiles, withTensorsInFiles } from '../onnx/proto.ts';
import type { EngineSession, SessionModel } from './engine.ts';
import { isIntact, layoutEngine, readAt } from './from-layout.node.ts';
import type { Library } from './library.node.ts';

/** A model whose weights are in files of a folder. */
export interface StoredModel {
  readonly bytes: Uint8Array;
  readonly folder: string;
}

/** The size of a page: the alignment of what is mapped. */
const PAGE = 4096;

/** The most bytes of weights that are read from the checkpoint in place and, here, become part of a model. */
const MOST_INSIDE = 1 << 24;

/**
 * The values of the weights that the engine would read from the checkpoint in place, such as norms; it looks for files in
 * one folder only.
 *
 * @returns undefined if there are too many.
 */
async function valuesInside(
  models: readonly SessionModel[],
  folder: string,
): Promise<Map<string, Uint8Array> | undefined> {
  const values = new Map<string, Uint8Array>();
  let total = 0;
  for (const { bytes, provided } of models) {
    const ours = new Set(provided.flatMap(({ tensors }) => tensors.map(({ name }) => name)));
    for (const [name, place] of tensorsInFiles(bytes)) {
      if (ours.has(name)) continue;
      const { location, offset, length } = Object.fromEntries(place);
      if (location === undefined) return undefined;
      const value = new Uint8Array(Number(length));
      total += value.length;
      if (total > MOST_INSIDE) return undefined;
      const handle = await open(join(folder, location), 'r');
      try {
        if (!(await readAt(handle.fd, value, Number(offset)))) return undefined;
      } finally {
        await handle.close();
      }
      values.set(name, value);
    }
  }
  return values;
}

/** Whether a file's name is still that of the file that was opened and checked: the engine opens it by its name. */
async function isStillThere({ path, file }: KeptFile): Promise<boolean> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  const { dev, ino } = fstatSync(file, { bigint: true });
  return found?.dev === dev && found.ino === ino;
}

const placesOf = (...maps: ReadonlyMap<string, StoredTensor | Uint8Array>[]) =>
  new Map(maps.flatMap((map) => [...map]));

/**
 * Opens sessions over weights and their packed forms from a cache: the engine maps both. It packs all the same, in memory
 * that it uses again for the next weight, and takes the packed form from the file where the hash of both is the same.
 * The files' checksums are verified meanwhile.
 *
 * @param folder where the models' own files are.
 * @param create creates the sessions.
 * @returns undefined if the packed forms are not kept, or damaged.
 */
export async function openFromPacked(
  library: Library,
  models: readonly SessionModel[],
  folder: string,
  layouts: LayoutCache,
  create: (models: readonly StoredModel[]) => Promise<EngineSession[]>,
): Promise<EngineSession[] | undefined> {
  const sessions = models.map(({ provided }) => provided);
  const inside = await valuesInside(models, folder);
  const files = inside && (await layouts.findPacked(sessions, layoutEngine(library)));
  if (!files) return undefined;
  const stored = models.map(({ bytes }, i) => ({
    bytes: withTensorsInFiles(bytes, placesOf(inside, files[i]!.places)),
    folder: dirname(files[i]!.path),
  }));
  const [opened, checked] = await Promise.allSettled([
    create(stored),
    (async () => {
      for (const file of files) {
        const mapped = library.mapFile(file.file, file.bytes);
        const isWhole = await isIntact(library, file, mapped).finally(() => mapped?.free());
        if (!isWhole) return false;
      }
      return true;
    })(),
  ]);
  const areSame = (await Promise.all(files.map(isStillThere))).every(Boolean);
  for (const { path, close } of files) {
    // The engine keeps factors mapped that it has packed.
    library.dropMapped(path);
    await close();
  }
  // What it packed into, for comparison.
  library.trimMemory();
  const areWhole = checked.status === 'fulfilled' && checked.value;
  if (opened.status === 'fulfilled' && areWhole && areSame) return opened.value;
  if (opened.status === 'fulfilled') for (const session of opened.value) await session.release();
  if (areSame) for (const { discard } of files) await discard();
  return undefined;
}

/**
 * Lets the engine write the weights of sessions together with their packed forms into a cache, one session after the
 * other.
 *
 * @param create creates a session.
 */
export async function keepPacked(
  library: Library,
  models: readonly SessionModel[],
  folder: string,
  layouts: LayoutCache,
  create: (model: StoredModel, saves: PackedPaths) => Promise<EngineSession>,
): Promise<void> {
  const inside = await valuesInside(models, folder);
  if (!inside) return;
  const engine = layoutEngine(library);
  const layout = await layouts.obtain(
    models.flatMap(({ provided }) => provided),
    engine,
  );
  if (!layout) return;
  try {
    if (!(await isIntact(library, layout))) return await layout.discard();
    let first = 0;
    for (const { bytes, provided } of models) {
      const tensors = provided.flatMap((weight) => weight.tensors);
      const offsets = layout.offsets.slice(first, first + tensors.length);
      first += tensors.length;
      const places = new Map(
        tensors.map((tensor, i): [string, StoredTensor] => [
          tensor.name,
          Object.entries({
            location: basename(layout.path),
            offset: String(offsets[i]),
            length: String(tensorBytes(tensor)),
          }),
        ]),
      );
      const all = placesOf(inside, places);
      const stored = { bytes: withTensorsInFiles(bytes, all), folder: dirname(layout.path) };
      const isKept = await layouts.keepPacked(provided, engine, async (saves) => {
        const session = await create(stored, saves);
        await session.release();
        const written = tensorsInFiles(await readFile(saves.graph));
        return completed(saves.weights, tensors, written, { file: layout.file, offsets });
      });
      if (!isKept) return;
    }
  } finally {
    await layout.close();
  }
}

/**
 * Completes the file that the engine wrote. What it computed with while it prepared the model is not in it; and small packed
 * forms begin anywhere, although the engine's kernels need the alignment that they have in its own memory: mapped like
 * this, they give wrong results. Both are added at multiples of the page size.
 *
 * @returns where the tensors are.
 */
async function completed(
  path: string,
  tensors: readonly ProvidedTensor[],
  written: ReadonlyMap<string, StoredTensor>,
  source: { readonly file: number; readonly offsets: readonly number[] },
): Promise<Map<string, StoredTensor>> {
  const handle = await open(path, 'r+');
  let { size: end } = await handle.stat();
  const add = async (file: number, offset: number, length: number): Promise<string> => {
    const bytes = new Uint8Array(length);
    if (!(await readAt(file, bytes, offset))) throw new Error(`${path} ends before its weights do`);
    const at = Math.ceil(end / PAGE) * PAGE;
    for (let done = 0; done < length; )
      done += (await handle.write(bytes, done, length - done, at + done)).bytesWritten;
    end = at + length;
    return String(at);
  };
  const aligned = async (offset: string, length: string): Promise<string> =>
    Number(offset) % PAGE === 0 ? offset : add(handle.fd, Number(offset), Number(length));
  try {
    const places = new Map<string, StoredTensor>();
    for (const [i, tensor] of tensors.entries()) {
      const found = written.get(tensor.name);
      if (!found) {
        const length = tensorBytes(tensor);
        const offset = await add(source.file, source.offsets[i]!, length);
        places.set(tensor.name, Object.entries({ location: '', offset, length: String(length) }));
        continue;
      }
      const { length = '' } = Object.fromEntries(found);
      const place: [string, string][] = [];
      for (const [key, value] of found) {
        if (key === 'offset') place.push([key, await aligned(value, length)]);
        else if (!key.startsWith('prepacked')) place.push([key, value]);
        else {
          // key|offset;length;checksum, and more of the last for a form in several parts
          const [hash = '', ...parts] = value.split('|');
          const moved: string[] = [];
          for (const part of parts) {
            const [start = '', size = '', ...rest] = part.split(';');
            moved.push([await aligned(start, size), size, ...rest].join(';'));
          }
          place.push([key, [hash, ...moved].join('|')]);
        }
      }
      places.set(tensor.name, place);
    }
    return places;
  } finally {
    await handle.close();
  }
}
