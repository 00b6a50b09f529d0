import { Tensor as OrtTensor } from 'onnxruntime-common';
import { sizeOf } from '../graph/dims.ts';
import type { ProductPart, ProductWeight, ProvidedWeight } from '../onnx/emit.ts';
import type { LayoutCache, LayoutEngine } from '../onnx/layout-cache.ts';
import type { Binding, DeviceMemory, DeviceTensors } from './device.ts';
import { bindTensors, engineValue, openDeviceMemory } from './device-memory.node.ts';
import {
  type AssignedNodes,
  type EngineSession,
  type EngineSessionOptions,
  type EngineTensor,
  type OnnxRuntime,
  type SessionModel,
  WEBGPU_OPTIONS,
} from './engine.ts';
import { layoutEngine, openFromLayout } from './from-layout.node.ts';
import { type ElementType, elementTypes, type Library, openLibrary, type Pointer } from './library.node.ts';
import { packedParts } from './packing.node.ts';
import { ProvidedWeights } from './provided.node.ts';
import { assignedNodes } from './providers/assigned-nodes.node.ts';
import { ProviderLibraries, type SelectedDevice } from './providers/provider-libraries.node.ts';

/**
 * ONNX Runtime through its C interface, called from TypeScript through koffi: the library that onnxruntime-node
 * loads, without the overhead of its binding. The binding copies every output, even one that it was given an array
 * for; a training step of 30M parameters spends 4 % of its time on that. Here outputs are written directly into their
 * arrays, and a value in the same array as in the previous run keeps its descriptor.
 */

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

class DirectSession {
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

/** Sessions that run one after another need memory for activations once. */
function withSharedArena(options: EngineSessionOptions): EngineSessionOptions {
  const session = { ...(options.extra?.session ?? {}), use_env_allocators: '1' };
  return { ...options, extra: { ...options.extra, session } };
}

/** All sessions; if one cannot be created, the others are released. */
async function allOrNone(creating: readonly Promise<EngineSession>[]): Promise<EngineSession[]> {
  const created = await Promise.allSettled(creating);
  const sessions = created.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = created.find((result) => result.status === 'rejected');
  if (!failed) return sessions;
  for (const session of sessions) await session.release();
  throw failed.reason;
}

/** Nested settings as the C interface takes them: {session: {a: '1'}} → session.a = 1. */
function* configEntries(extra: object, prefix = ''): Generator<[string, string]> {
  for (const [key, value] of Object.entries(extra)) {
    if (typeof value === 'object' && value !== null) yield* configEntries(value, `${prefix}${key}.`);
    else yield [`${prefix}${key}`, String(value)];
  }
}

/** The library's names of the providers that are enabled next to its CPU kernels; the binding serves all others. */
const PROVIDERS: Readonly<Record<string, string | null>> = { cpu: null, webgpu: 'WebGPU' };

function providerOf({ executionProviders: [provider] = ['cpu'] }: EngineSessionOptions): string {
  return provider ?? 'cpu';
}

/**
 * @param binding onnxruntime-node, for what this does not support.
 * @returns undefined if koffi or the library is not available.
 */
export function directRuntime(binding: OnnxRuntime):
  | {
      readonly runtime: OnnxRuntime;
      readonly placeholder: Library['placeholder'];
      readonly layouts: LayoutEngine;
      /** @param provider one with memory of its own. */
      openMemory(provider: string): Promise<DeviceMemory>;
      readonly libraries: ProviderLibraries;
      /** The runtime whose sessions run on a device of a provider library. */
      on(device: SelectedDevice): OnnxRuntime;
    }
  | undefined {
  const library = openLibrary();
  if (!library) return undefined;
  const { api, koffi } = library;
  /** The options of a session, in C: to be released. */
  const settingsOf = (
    options: EngineSessionOptions,
    weights: ProvidedWeights,
    device?: SelectedDevice,
  ): Pointer => {
    const settings = library.out((out) => api.createSessionOptions(out));
    try {
      library.check(api.setGraphOptimizationLevel(settings, 99));
      library.check(api.setLogSeverity(settings, options.logSeverityLevel ?? 3));
      if (options.enableMemPattern === false) library.check(api.disableMemPattern(settings));
      if (options.intraOpNumThreads !== undefined) {
        library.check(api.setIntraOpNumThreads(settings, options.intraOpNumThreads));
      }
      for (const [key, value] of configEntries(options.extra ?? {})) {
        library.check(api.addSessionConfigEntry(settings, key, value));
      }
      if (options.enableProfiling) {
        const encoding = process.platform === 'win32' ? 'utf16le' : 'utf8';
        const prefix = Buffer.from(`${options.profileFilePrefix ?? 'profile'}\0`, encoding);
        library.check(api.enableProfiling(settings, koffi.address(prefix)));
      }
      const provider = PROVIDERS[providerOf(options)];
      if (device) device.append(settings, { threads: options.intraOpNumThreads });
      else if (provider) library.check(api.appendExecutionProvider(settings, provider, null, null, 0));
      weights.giveTo(settings, provider === null ? 'cpu' : 'other');
      return settings;
    } catch (error) {
      api.releaseSessionOptions(settings);
      throw error;
    }
  };
  /** Frees the weights if it fails. */
  const open = async (
    model: Uint8Array,
    options: EngineSessionOptions,
    weights: ProvidedWeights,
    device?: SelectedDevice,
  ): Promise<EngineSession> => {
    try {
      const settings = settingsOf(options, weights, device);
      try {
        const session = await library.createSession(model, settings);
        return new DirectSession(library, session, weights, options.inBackground ?? false);
      } finally {
        api.releaseSessionOptions(settings);
      }
    } catch (error) {
      weights.release();
      throw error;
    }
  };
  const packingOptions: EngineSessionOptions = {
    intraOpNumThreads: 1,
    extra: { session: { model_external_initializers_file_folder_path: library.placeholder.folder } },
  };
  const known = new Map<string, Promise<ReadonlySet<ProductPart>>>();
  const packs = (product: ProductWeight) => {
    const key = JSON.stringify(product);
    const found =
      known.get(key) ??
      packedParts(library, product, (model, weights) => open(model, packingOptions, weights));
    known.set(key, found);
    return found;
  };
  const createAll = async (
    models: readonly SessionModel[],
    options: EngineSessionOptions = {},
    layouts?: LayoutCache,
    device?: SelectedDevice,
  ): Promise<EngineSession[]> => {
    const { disable_prepacking } = (options.extra?.session ?? {}) as Record<string, unknown>;
    const isPacked = disable_prepacking !== '1' && providerOf(options) === 'cpu';
    const chained = models.length > 1;
    if (chained) library.shareArena();
    const ownOptions = chained ? withSharedArena(options) : options;
    const openOne = async (model: SessionModel, weights: ProvidedWeights) => {
      const session = await open(model.bytes, ownOptions, weights, device);
      if (isPacked) await weights.releasePacked(packs);
      return session;
    };
    const kept =
      layouts &&
      (await openFromLayout(
        library,
        models.map((model) => model.provided),
        layouts,
        (weights) => allOrNone(models.map((model, i) => openOne(model, weights[i]!))),
      ));
    const sessions = kept ?? (await allOrNone(await openInTurn(models, openOne)));
    if (models.some((model) => model.provided.length > 0)) library.trimMemory();
    return sessions;
  };
  /** Sessions over weights that are read one session after the other: while those of one are read, others are packed. */
  const openInTurn = async (
    models: readonly SessionModel[],
    openOne: (model: SessionModel, weights: ProvidedWeights) => Promise<EngineSession>,
  ): Promise<Promise<EngineSession>[]> => {
    const opening: Promise<EngineSession>[] = [];
    for (const model of models) {
      const weights = new ProvidedWeights(library);
      try {
        for (const weight of model.provided) await weights.add(weight);
      } catch (error) {
        weights.release();
        return [...opening, Promise.reject(error)];
      }
      const session = openOne(model, weights);
      // It is awaited with the others.
      session.catch(() => {});
      opening.push(session);
    }
    return opening;
  };
  const create = async (
    model: Uint8Array,
    options: EngineSessionOptions = {},
    provided: readonly ProvidedWeight[] = [],
    layouts?: LayoutCache,
    device?: SelectedDevice,
  ): Promise<EngineSession> => {
    const isOurs = device !== undefined || providerOf(options) in PROVIDERS;
    if (!isOurs || options.graphOptimizationLevel !== 'all')
      return binding.InferenceSession.create(model, options);
    const [session] = await createAll([{ bytes: model, provided }], options, layouts, device);
    return session!;
  };
  return {
    runtime: { InferenceSession: { create, createAll }, Tensor: OrtTensor },
    placeholder: library.placeholder,
    layouts: layoutEngine(library),
    libraries: new ProviderLibraries(library),
    on: (device) => ({
      InferenceSession: {
        create: (model, options, provided, layouts) =>
          create(model, options, provided, layouts, device).catch((error: unknown) => {
            throw device.failed(error);
          }),
      },
      Tensor: OrtTensor,
    }),
    openMemory: (provider) =>
      openDeviceMemory(library, async (model) => {
        const extra = { ep: { webgpuexecutionprovider: WEBGPU_OPTIONS } };
        const settings = settingsOf({ executionProviders: [provider], extra }, new ProvidedWeights(library));
        try {
          return await library.createSession(model, settings);
        } finally {
          api.releaseSessionOptions(settings);
        }
      }),
  };
}
