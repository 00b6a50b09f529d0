import type { HostArray } from './executable.ts';

/** Element types of values on a device. */
export type DeviceType = 'float32' | 'float16' | 'int32';

/** A tensor in the memory of a device such as a graphics card. */
export interface DeviceTensor {
  readonly dtype: DeviceType;
  readonly shape: readonly number[];
  readonly byteLength: number;
}

/**
 * The memory of a device, where values stay between runs. Every run and copy is done in the order of the calls; a
 * read waits for those before it, and throws what went wrong in them.
 */
export interface DeviceMemory {
  /** Whether the host can wait for the device, and {@link read} works. A browser cannot: it downloads. */
  readonly canWait: boolean;
  /** Bytes of all tensors that were allocated and not freed. */
  readonly byteLength: number;
  /** Bytes that were copied to the device, and from it, since it was opened. */
  readonly traffic: { readonly written: number; readonly read: number };
  /** A tensor whose content is undefined. @throws RopewalkError where the device has no room for it. */
  allocate(dtype: DeviceType, shape: readonly number[]): DeviceTensor;
  /** A second view of a tensor's memory, of as many bytes. Only the tensor itself is freed. */
  view(tensor: DeviceTensor, shape: readonly number[]): DeviceTensor;
  /** Copies an array, of as many elements, to the device. Float16 is given as its bits. */
  write(tensor: DeviceTensor, data: HostArray | Uint16Array): void;
  /** Copies a tensor from the device into an array of as many elements, only where the host {@link canWait}. */
  read(tensor: DeviceTensor, into: HostArray | Uint16Array): void;
  /** The same on every host. What is called meanwhile comes after it. */
  download(tensor: DeviceTensor, into: HostArray | Uint16Array): Promise<void>;
  /** Copies between tensors of as many elements of the same type. */
  copy(from: DeviceTensor, to: DeviceTensor): void;
  free(tensor: DeviceTensor): void;
  /** Frees everything. Bindings to its tensors cannot be run afterwards. */
  release(): Promise<void>;
}

/** A compiled graph whose inputs and outputs are tensors on the device, to be run any number of times. */
export interface Binding {
  /** Starts a run; it does not wait for the device. */
  run(): void;
  release(): void;
}

/** The tensors of a graph by its names of inputs, or of outputs. */
export type DeviceTensors = Readonly<Record<string, DeviceTensor>>;
