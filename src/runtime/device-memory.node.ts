import { RopewalkError } from '../errors.ts';
import { shapeText, sizeOf } from '../graph/dims.ts';
import { input, mul, scalar } from '../graph/operators/index.ts';
import { emitModel } from '../onnx/emit.ts';
import type { Binding, DeviceMemory, DeviceTensor, DeviceTensors, DeviceType } from './device.ts';
import { type DeviceUse, deviceError, noRoom } from './device-errors.ts';
import type { HostArray } from './executable.ts';
import { elementTypes, type Library, type Pointer } from './library.node.ts';

const BYTES: Readonly<Record<DeviceType, number>> = { float32: 4, float16: 2, int32: 4 };

/** Tensors of this size and more are tried when they are allocated. */
const CHECKED_BYTES = 2 ** 20;

/** @throws RopewalkError where the device is the cause. */
function checked(library: Library, status: Parameters<Library['check']>[0], use?: DeviceUse): void {
  try {
    library.check(status);
  } catch (error) {
    throw deviceError(error, use);
  }
}

/** Bits are compared, since what is in a memory by chance need not be a number. */
function bitsOf(number: number): number {
  return new Int32Array(Float32Array.of(number).buffer)[0]!;
}

/** A tensor on the device, and the engine's descriptor of it. */
class EngineTensorOnDevice implements DeviceTensor {
  value: Pointer | undefined;

  constructor(
    readonly dtype: DeviceType,
    readonly shape: readonly number[],
    readonly byteLength: number,
    value: Pointer,
    /** Set where the memory is another tensor's. */
    readonly of?: EngineTensorOnDevice,
  ) {
    this.value = value;
  }
}

/** The engine's descriptor of a tensor. */
export function engineValue(tensor: DeviceTensor): Pointer {
  const { value, of } = tensor as EngineTensorOnDevice;
  if (value === undefined || (of && of.value === undefined)) throw new Error('the tensor was freed');
  return value;
}

/** Binds a session to tensors on its device. */
export function bindTensors(
  library: Library,
  session: Pointer,
  inputs: DeviceTensors,
  outputs: DeviceTensors,
): Binding {
  const { api } = library;
  let binding: Pointer | undefined = library.out((out) => api.createIoBinding(session, out));
  const release = () => {
    if (binding !== undefined) api.releaseIoBinding(binding);
    binding = undefined;
  };
  try {
    for (const [name, tensor] of Object.entries(inputs))
      library.check(api.bindInput(binding, name, engineValue(tensor)));
    for (const [name, tensor] of Object.entries(outputs))
      library.check(api.bindOutput(binding, name, engineValue(tensor)));
  } catch (error) {
    release();
    throw error;
  }
  return {
    run() {
      if (binding === undefined) throw new Error('the binding was released');
      checked(library, api.runWithBinding(session, null, binding));
    },
    release,
  };
}

class EngineDeviceMemory implements DeviceMemory {
  readonly canWait = true;
  #byteLength = 0;
  readonly #tensors = new Set<EngineTensorOnDevice>();
  readonly traffic = { written: 0, read: 0 };
  /** Source and target of a copy: the engine is given the addresses of these arrays, which therefore must not be freed. */
  readonly #copied = [new BigUint64Array(1), new BigUint64Array(1)] as const;
  /** Arrays that the engine reads or writes by their address at this moment. */
  readonly #held: unknown[] = [];
  /** The graph y = 2x of this memory's session. */
  #probe: { readonly x: DeviceTensor; readonly y: DeviceTensor; readonly binding: Binding } | undefined;
  #touched = 0;

  readonly #library: Library;
  readonly #session: Pointer;
  readonly #memory: Pointer;
  readonly #allocator: Pointer;
  readonly #use: DeviceUse;

  /** @param session the allocator's, kept open for as long as the memory. */
  constructor(library: Library, session: Pointer, memory: Pointer, allocator: Pointer, use: DeviceUse) {
    this.#library = library;
    this.#session = session;
    this.#memory = memory;
    this.#allocator = allocator;
    this.#use = use;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  allocate(dtype: DeviceType, shape: readonly number[]): DeviceTensor {
    const { api, koffi } = this.#library;
    const size = sizeOf(shape) as number;
    const dims = BigInt64Array.from(shape, BigInt);
    const address = dims.length > 0 ? koffi.address(dims) : null;
    let value: Pointer;
    try {
      value = this.#library.out((out) =>
        api.createTensor(this.#allocator, address, dims.length, elementTypes[dtype], out),
      );
    } catch (error) {
      throw new RopewalkError(
        `the device has no room for ${dtype} ${shapeText(shape)} (${size * BYTES[dtype]} bytes).`,
        { cause: error },
      );
    }
    const tensor = new EngineTensorOnDevice(dtype, shape, size * BYTES[dtype], value);
    this.#tensors.add(tensor);
    this.#byteLength += tensor.byteLength;
    if (tensor.byteLength >= CHECKED_BYTES) this.#touch(tensor);
    return tensor;
  }

  /**
   * Copies a number that the device has computed to the beginning of a tensor, and reads it there. The engine reports a buffer that
   * the device could not make only in its log, and everything that is done with it is left out: reading gives what is in the
   * memory by chance. No other memory has ever had this number.
   */
  #touch(tensor: EngineTensorOnDevice): void {
    try {
      this.#atBeginning(tensor, (beginning) => {
        const expected = this.#mark(beginning);
        if (this.#bitsIn(beginning) !== expected) throw noRoom(`${tensor.byteLength} bytes`, this.#use);
      });
    } catch (error) {
      this.free(tensor);
      throw error;
    }
  }

  /**
   * A copy to the device goes through a buffer of the same size, which may not be made either: the tensor then keeps what it had,
   * a number that the data does not begin with.
   */
  #checkWritten(tensor: DeviceTensor, data: HostArray | Uint16Array, copy: () => void): void {
    const [expected] = new Int32Array(data.buffer.slice(data.byteOffset, data.byteOffset + 4));
    this.#atBeginning(tensor as EngineTensorOnDevice, (beginning) => {
      if (this.#mark(beginning) === expected) this.#mark(beginning);
      copy();
      if (this.#bitsIn(beginning) !== expected)
        throw noRoom(`${tensor.byteLength} bytes to be copied`, this.#use);
    });
  }

  #atBeginning(tensor: EngineTensorOnDevice, use: (beginning: Pointer) => void): void {
    const beginning = this.#descriptor(tensor.of ?? tensor, [1], 4, 'float32');
    try {
      use(beginning);
    } finally {
      this.#library.api.releaseValue(beginning);
    }
  }

  /** Lets the device write a number that no memory has ever had. @returns its bits. */
  #mark(beginning: Pointer): number {
    this.#probe ??= this.#makeProbe();
    const { x, y, binding } = this.#probe;
    const half = ++this.#touched;
    this.#withHost(x, Float32Array.of(half), (host) => this.#copy(host, engineValue(x)));
    binding.run();
    this.#copy(engineValue(y), beginning);
    return bitsOf(2 * half);
  }

  #bitsIn(beginning: Pointer): number {
    const bits = new Int32Array(1);
    this.#withHost(this.#probe!.y, bits, (host) => this.#copy(beginning, host));
    return bits[0]!;
  }

  #makeProbe() {
    const [x, y] = [this.allocate('float32', [1]), this.allocate('float32', [1])];
    return { x, y, binding: bindTensors(this.#library, this.#session, { x }, { y }) };
  }

  /** The engine's descriptor of the first bytes of a tensor, in a shape. */
  #descriptor(
    { value }: EngineTensorOnDevice,
    shape: readonly number[],
    byteLength: number,
    dtype: DeviceType,
  ): Pointer {
    const { api, koffi } = this.#library;
    const data = this.#library.out((out) => api.getTensorMutableData(value!, out));
    const dims = BigInt64Array.from(shape, BigInt);
    const address = dims.length > 0 ? koffi.address(dims) : null;
    return this.#library.out((out) =>
      api.createTensorWithData(
        ...[this.#memory, data, byteLength, address, dims.length, elementTypes[dtype], out],
      ),
    );
  }

  view(tensor: DeviceTensor, shape: readonly number[]): DeviceTensor {
    const { dtype, byteLength } = tensor;
    if ((sizeOf(shape) as number) * BYTES[dtype] !== byteLength)
      throw new Error(`${shapeText(shape)} is no view of ${shapeText(tensor.shape)}`);
    const owner = (tensor as EngineTensorOnDevice).of ?? (tensor as EngineTensorOnDevice);
    if (owner.value === undefined) throw new Error('the tensor was freed');
    const value = this.#descriptor(owner, shape, byteLength, dtype);
    const view = new EngineTensorOnDevice(dtype, shape, byteLength, value, owner);
    this.#tensors.add(view);
    return view;
  }

  write(tensor: DeviceTensor, data: HostArray | Uint16Array): void {
    const copy = () => this.#withHost(tensor, data, (host) => this.#copy(host, engineValue(tensor)));
    if (tensor.byteLength < CHECKED_BYTES) copy();
    else this.#checkWritten(tensor, data, copy);
    this.traffic.written += tensor.byteLength;
  }

  read(tensor: DeviceTensor, into: HostArray | Uint16Array): void {
    this.#withHost(tensor, into, (host) => this.#copy(engineValue(tensor), host));
    this.traffic.read += tensor.byteLength;
  }

  async download(tensor: DeviceTensor, into: HostArray | Uint16Array): Promise<void> {
    this.read(tensor, into);
  }

  copy(from: DeviceTensor, to: DeviceTensor): void {
    if (from.dtype !== to.dtype || from.byteLength !== to.byteLength)
      throw new Error(`${shapeText(from.shape)} cannot be copied to ${shapeText(to.shape)}`);
    this.#copy(engineValue(from), engineValue(to));
  }

  free(tensor: DeviceTensor): void {
    const own = tensor as EngineTensorOnDevice;
    if (own.value === undefined) return;
    this.#library.api.releaseValue(own.value);
    own.value = undefined;
    this.#tensors.delete(own);
    if (!own.of) this.#byteLength -= own.byteLength;
  }

  async release(): Promise<void> {
    this.#probe?.binding.release();
    const views = [...this.#tensors].filter(({ of }) => of);
    for (const tensor of [...views, ...this.#tensors]) this.free(tensor);
    const { api } = this.#library;
    api.releaseAllocator(this.#allocator);
    api.releaseMemoryInfo(this.#memory);
    api.releaseSession(this.#session);
  }

  #withHost(tensor: DeviceTensor, data: HostArray | Uint16Array, use: (host: Pointer) => void): void {
    const { api, cpu, koffi } = this.#library;
    const { dtype, shape, byteLength } = tensor;
    if (data.byteLength !== byteLength)
      throw new Error(`${data.byteLength} bytes were given for ${dtype} ${shapeText(shape)}`);
    if (byteLength === 0) return;
    const dims = BigInt64Array.from(shape, BigInt);
    const address = dims.length > 0 ? koffi.address(dims) : null;
    this.#held.push(data, dims);
    const host = this.#library.out((out) =>
      api.createTensorWithData(
        ...[cpu, koffi.address(data), byteLength, address, dims.length, elementTypes[dtype], out],
      ),
    );
    try {
      use(host);
    } finally {
      api.releaseValue(host);
      this.#held.length = 0;
    }
  }

  #copy(from: Pointer, to: Pointer): void {
    const { api, env, koffi } = this.#library;
    const [source, target] = this.#copied;
    source[0] = BigInt(from);
    target[0] = BigInt(to);
    const status = api.copyTensors(env, koffi.address(source), koffi.address(target), null, 1);
    checked(this.#library, status, this.#use);
  }
}

/** @param createSession on the device. */
export async function openDeviceMemory(
  library: Library,
  createSession: (model: Uint8Array) => Promise<Pointer>,
  use: DeviceUse = 'training',
): Promise<DeviceMemory> {
  const { api } = library;
  const model = emitModel(new Map([['y', mul(input('x', 'float32', [1]), scalar(2))]]), {
    dialect: 'webgpu',
  });
  const session = await createSession(model.bytes);
  const memory = library.out((out) => api.createMemoryInfo('WebGPU_Buffer', 1, 0, 0, out));
  const allocator = library.out((out) => api.createAllocator(session, memory, out));
  return new EngineDeviceMemory(library, session, memory, allocator, use);
}
