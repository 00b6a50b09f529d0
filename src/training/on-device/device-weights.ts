import type { CausalLM } from '../../families/family.ts';
import type { DeviceMemory, DeviceTensor } from '../../runtime/device.ts';

/** All weights of a model on a device, by path. Each is read from there, as a copy, when it is asked for. */
export class DeviceWeights implements ReadonlyMap<string, Float32Array> {
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
  readonly #memory: DeviceMemory;

  constructor(memory: DeviceMemory, model: CausalLM) {
    this.#memory = memory;
    this.tensors = new Map(
      [...model.parameters()].map(([path, { shape }]) => [path, memory.allocate('float32', shape)]),
    );
  }

  /** Replaces all weights. @param fill gets an array of zeros for each of them. */
  async write(fill: (values: Map<string, Float32Array>) => void | Promise<void>): Promise<void> {
    const values = new Map(
      [...this.tensors].map(([path, { byteLength }]) => [path, new Float32Array(byteLength / 4)]),
    );
    await fill(values);
    for (const [path, tensor] of this.tensors) {
      this.#memory.write(tensor, values.get(path)!);
      values.delete(path);
    }
  }

  get size(): number {
    return this.tensors.size;
  }

  has(path: string): boolean {
    return this.tensors.has(path);
  }

  get(path: string): Float32Array | undefined {
    const tensor = this.tensors.get(path);
    if (!tensor) return undefined;
    const data = new Float32Array(tensor.byteLength / 4);
    this.#memory.read(tensor, data);
    return data;
  }

  keys(): MapIterator<string> {
    return this.tensors.keys();
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
