import { RopewalkError } from '../../errors.ts';
import type { InputAttributes } from '../../graph/operators/index.ts';
import type { DType } from '../../graph/tensor.ts';
import type { Binding, DeviceMemory, DeviceTensor, DeviceTensors, DeviceType } from '../../runtime/device.ts';
import type { Executable, HostTensor } from '../../runtime/executable.ts';

/** @throws RopewalkError for a type that no tensor on a device has. */
export function deviceType(name: string, dtype: DType): DeviceType {
  if (dtype === 'float32' || dtype === 'float16' || dtype === 'int32') return dtype;
  throw new RopewalkError(
    `${name} is ${dtype}, and values on a device are float32 or int32; use one of those in the loss.`,
  );
}

/** Tensors that the host writes before each micro-batch: ids, targets, weights of rows. */
export class Feeds {
  readonly #tensors = new Map<string, DeviceTensor>();
  readonly #memory: DeviceMemory;

  constructor(memory: DeviceMemory) {
    this.#memory = memory;
  }

  /** The tensor of a graph's input. */
  tensor(name: string, { dtype, shape }: InputAttributes): DeviceTensor {
    const known = this.#tensors.get(name);
    if (known) return known;
    const made = this.#memory.allocate(deviceType(name, dtype), shape as number[]);
    this.#tensors.set(name, made);
    return made;
  }

  /** @param some whether values may be missing. */
  write(values: Readonly<Record<string, HostTensor>>, some = false): void {
    for (const [name, tensor] of this.#tensors) {
      const value = values[name];
      if (!value && some) continue;
      if (!value) throw new RopewalkError(`the graph's input ${name} was not given.`);
      this.#memory.write(tensor, value.data);
    }
  }
}

/**
 * Binds a graph. Inputs that are not given are feeds.
 *
 * @param inputs those that other graphs compute, and weights.
 */
export function bind(
  executable: Executable,
  inputs: DeviceTensors,
  outputs: DeviceTensors,
  feeds: Feeds,
): Binding {
  const all: Record<string, DeviceTensor> = {};
  for (const [name, attributes] of executable.inputs)
    all[name] = inputs[name] ?? feeds.tensor(name, attributes);
  return executable.bind(all, outputs);
}
