import { Tensor as OrtTensor } from 'onnxruntime-common';
import { sizeOf } from '../graph/dims.ts';
import type { Binding, DeviceTensors } from './device.ts';
import { bindTensors, engineValue } from './device-memory.node.ts';
import type { AssignedNodes, EngineTensor } from './engine.ts';
import { type ElementType, elementTypes, type Library, type Pointer } from './library.node.ts';
import type { ProvidedWeights } from './provided.node.ts';
import { assignedNodes } from './providers/assigned-nodes.node.ts';

interface Described {
  readonly data: ArrayBufferView;
  readonly dims: readonly number[];
  readonly value: Pointer;
}

/** Inputs and outputs of one run, in C arrays that are reused. */
class Slots {
  readonly #described: (Described | undefined)[];
  readonly names: BigUint64Array;
  readonly values: BigUint64Array;
  readonly #texts: Buffer[];

  readonly #library: Library;

  constructor(library: Library, names: readonly string[]) {
    this.#library = library;
    this.#texts = names.map((name) => Buffer.from(`${name}\0`));
    this.names = BigUint64Array.from(this.#texts, (text) => library.koffi.address(text));
    this.values = new BigUint64Array(names.length);
    this.#described = new Array<Described | undefined>(names.length).fill(undefined);
  }

  get count(): number {
    return this.values.length;
  }

  /** Points a slot to an array, or to a value on the device; the engine reads or writes it in place. */
  set(slot: number, tensor: EngineTensor): void {
    if (tensor.device) {
      this.clear(slot);
      this.values[slot] = BigInt(engineValue(tensor.device));
      return;
    }
    const data = tensor.data as Float32Array | Int32Array | BigInt64Array;
    const known = this.#described[slot];
    if (
      known &&
      known.data.buffer === data.buffer &&
      known.data.byteOffset === data.byteOffset &&
      known.data.byteLength === data.byteLength &&
      known.dims.length === tensor.dims.length &&
      known.dims.every((size, axis) => size === tensor.dims[axis])
    ) {
      return;
    }
    this.clear(slot);
    const { api, cpu, koffi } = this.#library;
    const shape = BigInt64Array.from(tensor.dims, BigInt);
    // An empty array has no address, and the engine requires one.
    const address = data.byteLength > 0 ? koffi.address(data) : koffi.address(this.names);
    const type = elementTypes[tensor.type as ElementType];
    const value = this.#library.out((out) =>
      api.createTensorWithData(cpu, address, data.byteLength, koffi.address(shape), shape.length, type, out),
    );
    this.#described[slot] = { data, dims: tensor.dims, value };
    this.values[slot] = BigInt(value);
  }

  /** Lets the engine allocate an output. */
  clear(slot: number): void {
    const known = this.#described[slot];
    if (known) this.#library.api.releaseValue(known.value);
    this.#described[slot] = undefined;
    this.values[slot] = 0n;
  }

  release(): void {
    for (let slot = 0; slot < this.count; slot++) this.clear(slot);
  }
}

/** A session of the library, whose runs go through its C interface. */
export class DirectSession {
  #inputs: Slots | undefined;
  #outputs: Slots | undefined;
  #signature = '';
  #released = false;

  readonly #library: Library;
  readonly #session: Pointer;
  readonly #weights: ProvidedWeights;
  readonly #inBackground: boolean;

  /** @param inBackground whether runs leave this thread free. */
  constructor(library: Library, session: Pointer, weights: ProvidedWeights, inBackground: boolean) {
    this.#library = library;
    this.#inBackground = inBackground;
    this.#session = session;
    this.#weights = weights;
  }

  async run(feeds: Record<string, EngineTensor>, fetches: Record<string, EngineTensor | null>) {
    // The event loop runs between runs, so that signals and timers are handled.
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.#released) throw new Error('the session was released');
    const names = { inputs: Object.keys(feeds), outputs: Object.keys(fetches) };
    const signature = JSON.stringify(names);
    if (signature !== this.#signature) {
      this.#inputs?.release();
      this.#outputs?.release();
      this.#inputs = new Slots(this.#library, names.inputs);
      this.#outputs = new Slots(this.#library, names.outputs);
      this.#signature = signature;
    }
    const inputs = this.#inputs!;
    const outputs = this.#outputs!;
    names.inputs.forEach((name, slot) => {
      inputs.set(slot, feeds[name]!);
    });
    names.outputs.forEach((name, slot) => {
      const target = fetches[name];
      if (target) outputs.set(slot, target);
      else outputs.clear(slot);
    });
    const { api, koffi, runInBackground } = this.#library;
    const given = [
      ...[this.#session, null, koffi.address(inputs.names)],
      ...[inputs.count > 0 ? koffi.address(inputs.values) : null, inputs.count],
      ...[koffi.address(outputs.names), outputs.count, koffi.address(outputs.values)],
    ];
    this.#library.check(this.#inBackground ? await runInBackground(...given) : api.run(...given));
    const results: Record<string, EngineTensor> = {};
    names.outputs.forEach((name, slot) => {
      results[name] = fetches[name] ?? this.#take(outputs.values[slot]!);
      if (!fetches[name]) outputs.values[slot] = 0n;
    });
    return results;
  }

  bind(inputs: DeviceTensors, outputs: DeviceTensors): Binding {
    if (this.#released) throw new Error('the session was released');
    return bindTensors(this.#library, this.#session, inputs, outputs);
  }

  assignedNodes(): AssignedNodes {
    return assignedNodes(this.#library, this.#session);
  }

  endProfiling(): void {
    this.#library.out((out) => this.#library.api.endProfiling(this.#session, this.#library.allocator, out));
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    this.#inputs?.release();
    this.#outputs?.release();
    this.#library.api.releaseSession(this.#session);
    this.#weights.release();
  }

  /** Copies an output that the engine allocated into our own array, and frees it. */
  #take(value: Pointer): EngineTensor {
    const { api, koffi } = this.#library;
    const info = this.#library.out((out) => api.getTensorTypeAndShape(value, out));
    const number: unknown[] = [0];
    this.#library.check(api.getTensorElementType(info, number));
    const type = (Object.keys(elementTypes) as ElementType[]).find((key) => elementTypes[key] === number[0]);
    this.#library.check(api.getDimensionsCount(info, number));
    const shape = new BigInt64Array(Number(number[0]));
    if (shape.length > 0) this.#library.check(api.getDimensions(info, koffi.address(shape), shape.length));
    api.releaseTensorTypeAndShapeInfo(info);
    const dims = Array.from(shape, Number);
    const size = sizeOf(dims);
    const data = this.#library.out((out) => api.getTensorMutableData(value, out));
    const copy = <T>(make: new (buffer: ArrayBuffer) => T, bytes: number) =>
      new make(size === 0 ? new ArrayBuffer(0) : koffi.view(data, size * bytes).slice(0));
    try {
      if (type === 'float32') return new OrtTensor('float32', copy(Float32Array, 4), dims);
      if (type === 'int32') return new OrtTensor('int32', copy(Int32Array, 4), dims);
      if (type === 'int64') return new OrtTensor('int64', copy(BigInt64Array, 8), dims);
      throw new Error(`an output has the element type ${String(number[0])}, which is not supported`);
    } finally {
      api.releaseValue(value);
    }
  }
}
