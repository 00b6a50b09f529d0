import type { CausalLM } from '../../families/family.ts';
import type { DeviceMemory, DeviceTensor } from '../../runtime/device.ts';

/** All weights of a model on a device, by path. */
export class DeviceWeights {
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
  readonly #memory: DeviceMemory;

  constructor(memory: DeviceMemory, model: CausalLM) {
    this.#memory = memory;
    this.tensors = new Map(
      [...model.parameters()].map(([path, { shape }]) => [path, memory.allocate('float32', shape)]),
    );
  }

  /** Copies of all weights. */
  values(): Map<string, Float32Array> {
    return new Map([...this.tensors.keys()].map((path) => [path, this.value(path)]));
  }

  /** A copy of one weight. */
  value(path: string): Float32Array {
    const tensor = this.tensors.get(path)!;
    const data = new Float32Array(tensor.byteLength / 4);
    this.#memory.read(tensor, data);
    return data;
  }

  write(values: ReadonlyMap<string, Float32Array>): void {
    for (const [path, tensor] of this.tensors) this.#memory.write(tensor, values.get(path)!);
  }
}
