import type { CausalLM } from '../../families/family.ts';
import { sizeOf } from '../../graph/dims.ts';
import type { DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import { type DeviceLimits, tensorLimit } from '../../runtime/device-limits.ts';

/**
 * The most bytes of one tensor of a table. Many devices limit their buffers to 1 or 2 GiB; and an optimizer's step takes several
 * times a tensor while it runs.
 */
const TABLE_BYTES = 512 * 2 ** 20;

/** The most bytes of one tensor of a table that has to be one: larger ones were not tried. */
const WHOLE_TABLE_BYTES = 2 ** 30;

/**
 * The most bytes of one tensor of a table: a larger embedding or head is several tensors, each some of its rows. A little less
 * than the device's limit, since a driver may add to a buffer and then refuse it.
 *
 * @param whole whether it should be one tensor where the device is known to allow it.
 */
export function tableBytes(limits: DeviceLimits = {}, whole = false): number {
  const limit = tensorLimit(limits);
  const isKnown = limit !== Number.POSITIVE_INFINITY;
  return Math.min(whole && isKnown ? WHOLE_TABLE_BYTES : TABLE_BYTES, isKnown ? limit - limit / 64 : limit);
}

/** Some consecutive rows of a weight, or all of it. */
export interface WeightPart {
  /** The weight's path; `#` and a number follow if it has several parts. */
  readonly name: string;
  readonly path: string;
  readonly shape: readonly number[];
}

/**
 * The parts of a model's weights.
 *
 * @param tables paths of the weights that may have several.
 * @param most bytes of one part of a table: see {@link tableBytes}.
 */
export function weightParts(
  model: CausalLM,
  tables: ReadonlySet<string>,
  most: number,
): Map<string, readonly WeightPart[]> {
  return new Map(
    [...model.parameters()].map(([path, { shape }]) => {
      const [rows = 1, ...rest] = shape;
      const count = tables.has(path) ? Math.ceil((4 * (sizeOf(shape) as number)) / most) : 1;
      if (count === 1) return [path, [{ name: path, path, shape }]];
      const each = Math.ceil(rows / count);
      const parts = Array.from({ length: Math.ceil(rows / each) }, (_, i) => {
        return { name: `${path}#${i}`, path, shape: [Math.min(each, rows - i * each), ...rest] };
      });
      return [path, parts];
    }),
  );
}

/** All weights of a model on a device, by path. Each is read from there, as a copy, when it is asked for. */
export class DeviceWeights implements ReadonlyMap<string, Float32Array> {
  /** By the names of parts. */
  readonly tensors: ReadonlyMap<string, DeviceTensor>;

  readonly #memory: DeviceMemory;

  constructor(
    memory: DeviceMemory,
    readonly parts: ReadonlyMap<string, readonly WeightPart[]>,
  ) {
    this.#memory = memory;
    this.tensors = new Map(
      [...parts.values()].flat().map(({ name, shape }) => [name, memory.allocate('float32', shape)]),
    );
  }

  /** The tensors of a weight. */
  tensorsOf(path: string): DeviceTensor[] {
    return this.parts.get(path)!.map(({ name }) => this.tensors.get(name)!);
  }

  /** Replaces all weights. @param fill gets an array of zeros for each of them. */
  async write(fill: (values: Map<string, Float32Array>) => void | Promise<void>): Promise<void> {
    const values = new Map(
      [...this.parts.keys()].map((path) => [path, new Float32Array(elementsOf(this.tensorsOf(path)))]),
    );
    await fill(values);
    for (const path of this.keys()) {
      copyParts(this.tensorsOf(path), values.get(path)!, (tensor, part) => this.#memory.write(tensor, part));
      values.delete(path);
    }
  }

  /** Copies of all weights as they are at this moment: no step that begins meanwhile changes some of them. */
  async download(): Promise<Map<string, Float32Array>> {
    const paths = [...this.keys()];
    const values = await Promise.all(paths.map((path) => this.downloadOne(path)));
    return new Map(paths.map((path, i) => [path, values[i]!]));
  }

  downloadOne(path: string): Promise<Float32Array> {
    return downloadParts(this.#memory, this.tensorsOf(path));
  }

  get size(): number {
    return this.parts.size;
  }

  has(path: string): boolean {
    return this.parts.has(path);
  }

  get(path: string): Float32Array | undefined {
    return this.has(path) ? readParts(this.#memory, this.tensorsOf(path)) : undefined;
  }

  keys(): MapIterator<string> {
    return this.parts.keys();
  }

  *values(): MapIterator<Float32Array> {
    for (const path of this.keys()) yield this.get(path)!;
  }

  *entries(): MapIterator<[string, Float32Array]> {
    for (const path of this.keys()) yield [path, this.get(path)!];
  }

  [Symbol.iterator](): MapIterator<[string, Float32Array]> {
    return this.entries();
  }

  forEach(call: (value: Float32Array, path: string, map: ReadonlyMap<string, Float32Array>) => void): void {
    for (const [path, value] of this) call(value, path, this);
  }
}

/** A copy of what several tensors hold, one after the other. */
export function readParts(memory: DeviceMemory, tensors: readonly DeviceTensor[]): Float32Array {
  const data = new Float32Array(elementsOf(tensors));
  copyParts(tensors, data, (tensor, part) => memory.read(tensor, part));
  return data;
}

/** The same where the host cannot wait for the device. */
export async function downloadParts(
  memory: DeviceMemory,
  tensors: readonly DeviceTensor[],
): Promise<Float32Array> {
  const data = new Float32Array(elementsOf(tensors));
  const downloads: Promise<void>[] = [];
  copyParts(tensors, data, (tensor, part) => downloads.push(memory.download(tensor, part)));
  await Promise.all(downloads);
  return data;
}

function elementsOf(tensors: readonly DeviceTensor[]): number {
  return tensors.reduce((sum, { byteLength }) => sum + byteLength / 4, 0);
}

function copyParts(
  tensors: readonly DeviceTensor[],
  data: Float32Array,
  copy: (tensor: DeviceTensor, part: Float32Array) => void,
): void {
  let start = 0;
  for (const tensor of tensors) {
    const end = start + tensor.byteLength / 4;
    copy(tensor, data.subarray(start, end));
    start = end;
  }
}
