import type { DeviceMemory, DeviceTensor } from '../../runtime/device.ts';

/** Numbers on a device, each a tensor of shape [1] that is written only when it changes. */
export class Scalars {
  readonly #tensors = new Map<string, DeviceTensor>();
  readonly #written = new Map<string, number>();
  readonly #memory: DeviceMemory;

  constructor(memory: DeviceMemory) {
    this.#memory = memory;
  }

  /** The tensor of a number, which may be written later. */
  tensor(name: string): DeviceTensor {
    const known = this.#tensors.get(name);
    if (known) return known;
    const made = this.#memory.allocate('float32', [1]);
    this.#tensors.set(name, made);
    return made;
  }

  write(values: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(values)) {
      if (this.#written.get(name) === value) continue;
      this.#memory.write(this.tensor(name), Float32Array.of(value));
      this.#written.set(name, value);
    }
  }

  release(): void {
    for (const tensor of this.#tensors.values()) this.#memory.free(tensor);
    this.#tensors.clear();
    this.#written.clear();
  }
}
