import { option, RopewalkError, said } from '../errors.ts';
import { shapeText, sizeOf } from '../graph/dims.ts';
import type { Binding, DeviceMemory, DeviceTensor, DeviceTensors, DeviceType } from './device.ts';
import { DeviceError, deviceError, deviceLost } from './device-errors.ts';
import type { EngineSession, EngineTensor, OnnxRuntime } from './engine.ts';
import type { HostArray } from './executable.ts';

/** A buffer of WebGPU. TypeScript's description of browsers has no WebGPU; here is what we use of it. */
interface GpuBuffer {
  mapAsync(mode: number): Promise<void>;
  getMappedRange(): ArrayBuffer;
  destroy(): void;
}

/** An error that no call reports: of a buffer that the engine could not make, or a call that the device refused. */
interface UncapturedError {
  readonly error: { readonly message: string };
}

/** The device of WebGPU that the engine computes on. */
export interface GpuDevice {
  readonly limits: { readonly maxBufferSize: number; readonly maxStorageBufferBindingSize: number };
  readonly lost: Promise<{ readonly message: string }>;
  readonly queue: {
    writeBuffer(buffer: GpuBuffer, offset: number, data: ArrayBufferView): void;
    submit(commands: readonly unknown[]): void;
  };
  createBuffer(about: { readonly size: number; readonly usage: number }): GpuBuffer;
  createCommandEncoder(): {
    copyBufferToBuffer(from: GpuBuffer, start: number, to: GpuBuffer, at: number, size: number): void;
    finish(): unknown;
  };
  addEventListener(type: 'uncapturederror', listener: (event: UncapturedError) => void): void;
  removeEventListener(type: 'uncapturederror', listener: (event: UncapturedError) => void): void;
  pushErrorScope(filter: 'out-of-memory'): void;
  popErrorScope(): Promise<{ readonly message: string } | null>;
}

/** The engine's tensors on a buffer: what onnxruntime-web has beyond onnxruntime-node. */
interface GpuTensors {
  fromGpuBuffer(
    buffer: GpuBuffer,
    about: { readonly dataType: DeviceType; readonly dims: readonly number[] },
  ): EngineTensor;
}

const BYTES: Readonly<Record<DeviceType, number>> = { float32: 4, float16: 2, int32: 4 };

/** GPUBufferUsage: COPY_SRC, COPY_DST, STORAGE; and MAP_READ, COPY_DST. */
const STORED = 0x4 | 0x8 | 0x80;
const MAPPED = 0x1 | 0x8;
const MAP_READ = 1;

/**
 * Does one thing after the other. ONNX Runtime's WebAssembly is suspended while it waits for the device, and must not be
 * entered meanwhile.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => T | Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}

class BufferTensor implements DeviceTensor {
  constructor(
    readonly memory: BufferMemory,
    readonly dtype: DeviceType,
    readonly shape: readonly number[],
    readonly byteLength: number,
    /** Undefined once it is freed. */
    public buffer: GpuBuffer | undefined,
    /** Set where the memory is another tensor's. */
    readonly of?: BufferTensor,
  ) {}
}

function bufferOf(tensor: DeviceTensor): GpuBuffer {
  const { buffer, of } = tensor as BufferTensor;
  const found = of ? of.buffer : buffer;
  if (!found) throw new Error('the tensor was freed');
  return found;
}

/** Buffers hold whole groups of 16 bytes, as the engine's own do. */
const bufferSize = (bytes: number) => Math.max(16, Math.ceil(bytes / 16) * 16);

class BufferMemory implements DeviceMemory {
  readonly canWait = false;
  readonly traffic = { written: 0, read: 0 };
  #byteLength = 0;
  readonly #tensors = new Set<BufferTensor>();
  /** What went wrong first: nothing is done after it. */
  #failure: unknown;
  #released = false;
  readonly #lost: Promise<never>;
  readonly #onError = ({ error }: UncapturedError): void => {
    this.#failure ??= deviceError(new Error(`${error.constructor.name}: ${error.message}`));
  };

  constructor(
    readonly device: GpuDevice,
    readonly turns: Turns,
    readonly engineTensors: GpuTensors,
    readonly session: EngineSession,
  ) {
    this.#lost = device.lost.then((info) => {
      this.#failure ??= deviceLost(info);
      throw this.#failure;
    });
    this.#lost.catch(() => {});
    device.addEventListener('uncapturederror', this.#onError);
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  allocate(dtype: DeviceType, shape: readonly number[]): DeviceTensor {
    const bytes = (sizeOf(shape) as number) * BYTES[dtype];
    const size = bufferSize(bytes);
    const { maxBufferSize, maxStorageBufferBindingSize } = this.device.limits;
    const largest = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    if (size > largest) {
      throw new DeviceError(
        'memory',
        said`${dtype} ${shapeText(shape)} has ${bytes} bytes, and the largest buffer of this device ${largest}; take a smaller model, a smaller ${option('batch')}, or the CPU (${option('device', 'cpu')}).`,
      );
    }
    this.device.pushErrorScope('out-of-memory');
    const buffer = this.device.createBuffer({ size, usage: STORED });
    this.device.popErrorScope().then(
      (error) => {
        if (error) this.#failure ??= deviceError(new Error(`out of memory: ${error.message}`));
      },
      () => {},
    );
    const tensor = new BufferTensor(this, dtype, shape, bytes, buffer);
    this.#tensors.add(tensor);
    this.#byteLength += bytes;
    return tensor;
  }

  view(tensor: DeviceTensor, shape: readonly number[]): DeviceTensor {
    const { dtype, byteLength } = tensor;
    if ((sizeOf(shape) as number) * BYTES[dtype] !== byteLength)
      throw new Error(`${shapeText(shape)} is no view of ${shapeText(tensor.shape)}`);
    bufferOf(tensor);
    const owner = (tensor as BufferTensor).of ?? (tensor as BufferTensor);
    return new BufferTensor(this, dtype, shape, byteLength, undefined, owner);
  }

  write(tensor: DeviceTensor, data: HostArray | Uint16Array): void {
    checkBytes(tensor, data);
    const buffer = bufferOf(tensor);
    // The caller may change its array before this is done. WebGPU writes whole groups of four bytes.
    const copy = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
    copy.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    this.start(() => this.device.queue.writeBuffer(buffer, 0, copy));
    this.traffic.written += tensor.byteLength;
  }

  read(): never {
    throw new Error('a browser cannot wait for its device; use download');
  }

  async download(tensor: DeviceTensor, into: HostArray | Uint16Array): Promise<void> {
    checkBytes(tensor, into);
    const buffer = bufferOf(tensor);
    const { byteLength } = tensor;
    const size = bufferSize(byteLength);
    const staging = this.device.createBuffer({ size, usage: MAPPED });
    try {
      this.start(() => this.#submitCopy(buffer, staging, size));
      await this.#reached();
      await Promise.race([staging.mapAsync(MAP_READ), this.#lost]);
      if (this.#failure) throw this.#failure;
      const target = new Uint8Array(into.buffer, into.byteOffset, byteLength);
      target.set(new Uint8Array(staging.getMappedRange(), 0, byteLength));
    } catch (error) {
      throw this.#failure ?? deviceError(error);
    } finally {
      staging.destroy();
    }
    this.traffic.read += byteLength;
  }

  copy(from: DeviceTensor, to: DeviceTensor): void {
    if (from.dtype !== to.dtype || from.byteLength !== to.byteLength)
      throw new Error(`${shapeText(from.shape)} cannot be copied to ${shapeText(to.shape)}`);
    const [source, target] = [bufferOf(from), bufferOf(to)];
    this.start(() => this.#submitCopy(source, target, bufferSize(from.byteLength)));
  }

  free(tensor: DeviceTensor): void {
    const own = tensor as BufferTensor;
    const { buffer } = own;
    if (!buffer) return;
    own.buffer = undefined;
    this.#tensors.delete(own);
    this.#byteLength -= own.byteLength;
    // Runs that were started may use it.
    if (!this.#released) this.turns.take(() => buffer.destroy()).catch(() => {});
  }

  async release(): Promise<void> {
    for (const tensor of [...this.#tensors]) this.free(tensor);
    this.#released = true;
    this.device.removeEventListener('uncapturederror', this.#onError);
    if (!this.#failure) await Promise.race([this.session.release(), this.#lost.catch(() => {})]);
  }

  /** Does something after all that was called before; its error is thrown by the next download. */
  start(work: () => unknown): void {
    const guarded = async () => {
      if (!this.#failure) await work();
    };
    this.turns.take(guarded).catch((error: unknown) => {
      this.#failure ??= deviceError(error);
    });
  }

  /** Waits for everything that was started. */
  async #reached(): Promise<void> {
    await Promise.race([this.turns.take(() => {}), this.#lost]);
    if (this.#failure) throw this.#failure;
  }

  #submitCopy(from: GpuBuffer, to: GpuBuffer, size: number): void {
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, size);
    this.device.queue.submit([encoder.finish()]);
  }
}

function checkBytes({ dtype, shape, byteLength }: DeviceTensor, data: HostArray | Uint16Array): void {
  if (data.byteLength !== byteLength)
    throw new Error(`${data.byteLength} bytes were given for ${dtype} ${shapeText(shape)}`);
}

/** Binds a session of onnxruntime-web to tensors on its device. */
export function bindBuffers(session: EngineSession, inputs: DeviceTensors, outputs: DeviceTensors): Binding {
  const { memory } = Object.values(outputs)[0] as BufferTensor;
  const tensors = (bound: DeviceTensors) =>
    Object.fromEntries(
      Object.entries(bound).map(([name, tensor]) => {
        const { dtype: dataType, shape: dims } = tensor;
        return [name, memory.engineTensors.fromGpuBuffer(bufferOf(tensor), { dataType, dims })];
      }),
    );
  const [feeds, fetches] = [tensors(inputs), tensors(outputs)];
  let released = false;
  return {
    run() {
      if (released) throw new Error('the binding was released');
      memory.start(() => session.run(feeds, fetches));
    },
    release() {
      released = true;
    },
  };
}

/**
 * Opens the memory of the device that onnxruntime-web computes on.
 *
 * @param session on that device, kept open for as long as the memory: the engine has a device once it has a session.
 * @param device `ort.env.webgpu.device`
 */
export async function openDeviceMemory(
  runtime: OnnxRuntime,
  turns: Turns,
  session: EngineSession,
  device: unknown,
): Promise<DeviceMemory> {
  const found = (await device) as GpuDevice | undefined;
  if (!found) {
    await session.release();
    throw new RopewalkError(
      "this build of onnxruntime-web keeps no values on a device; use 'onnxruntime-web/webgpu'.",
    );
  }
  return new BufferMemory(found, turns, runtime.Tensor as unknown as GpuTensors, session);
}
