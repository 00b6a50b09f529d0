import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common';
import type { OnnxRuntime } from './engine.ts';

/**
 * ONNX Runtime through its C interface, called from TypeScript by koffi: the same library that onnxruntime-node loads,
 * without what its binding adds to every run. The binding copies every output, even those written into arrays that it
 * was given; a training step of 30M parameters spends 4 % of its time on that. Here outputs are written where they
 * belong, and a value that is the same array as in the run before is not described again.
 */

/** Places of functions in the OrtApi struct of onnxruntime_c_api.h. The struct only ever grows at its end. */
const API = {
  getErrorMessage: [2, 'const char *', 'void *status'],
  createEnv: [3, 'void *', 'int level, const char *name, _Out_ void **env'],
  createSessionFromArray: [
    8,
    'void *',
    'void *env, void *model, size_t size, void *options, _Out_ void **session',
  ],
  run: [
    9,
    'void *',
    'void *session, void *options, void *inputNames, void *inputs, size_t inputCount, void *outputNames, size_t outputCount, void *outputs',
  ],
  createSessionOptions: [10, 'void *', '_Out_ void **options'],
  disableMemPattern: [17, 'void *', 'void *options'],
  setLogSeverity: [22, 'void *', 'void *options, int level'],
  setGraphOptimizationLevel: [23, 'void *', 'void *options, int level'],
  setIntraOpNumThreads: [24, 'void *', 'void *options, int threads'],
  createTensorWithData: [
    49,
    'void *',
    'void *memory, void *data, size_t size, void *shape, size_t rank, int type, _Out_ void **value',
  ],
  getTensorMutableData: [51, 'void *', 'void *value, _Out_ void **data'],
  getTensorElementType: [60, 'void *', 'void *info, _Out_ int *type'],
  getDimensionsCount: [61, 'void *', 'void *info, _Out_ size_t *count'],
  getDimensions: [62, 'void *', 'void *info, void *dimensions, size_t count'],
  getTensorTypeAndShape: [65, 'void *', 'void *value, _Out_ void **info'],
  createCpuMemoryInfo: [69, 'void *', 'int allocator, int type, _Out_ void **memory'],
  releaseStatus: [93, 'void', 'void *status'],
  releaseSession: [95, 'void', 'void *session'],
  releaseValue: [96, 'void', 'void *value'],
  releaseTensorTypeAndShapeInfo: [99, 'void', 'void *info'],
  releaseSessionOptions: [100, 'void', 'void *options'],
  addSessionConfigEntry: [130, 'void *', 'void *options, const char *key, const char *value'],
} as const;

const API_VERSION = 22;
const LIBRARY_VERSION = '1.30.0';

/** onnx.TensorProto.DataType of the arrays that we exchange. */
const elementTypes = { float32: 1, int32: 6, int64: 7 } as const;
type ElementType = keyof typeof elementTypes;

type Pointer = bigint;
type Functions = Record<keyof typeof API, (...args: unknown[]) => unknown>;

interface Koffi {
  load(path: string): { func(definition: string): (...args: unknown[]) => unknown };
  proto(definition: string): unknown;
  call(pointer: unknown, type: unknown, ...args: unknown[]): unknown;
  decode(pointer: unknown, type: unknown): unknown;
  array(type: string, length: number): unknown;
  address(value: unknown): bigint;
  view(pointer: unknown, length: number): ArrayBuffer;
}

const require = createRequire(import.meta.url);

function libraryPath(): string | undefined {
  const folder = join(
    dirname(require.resolve('onnxruntime-node/package.json')),
    'bin',
    'napi-v6',
    process.platform,
    process.arch,
  );
  const names = {
    linux: 'libonnxruntime.so.1',
    darwin: `libonnxruntime.${LIBRARY_VERSION}.dylib`,
    win32: 'onnxruntime.dll',
  };
  const name = names[process.platform as keyof typeof names];
  const path = name && join(folder, name);
  return path !== undefined && existsSync(path) ? path : undefined;
}

class Library {
  readonly api: Functions;
  readonly env: Pointer;
  readonly cpu: Pointer;

  constructor(
    readonly koffi: Koffi,
    path: string,
  ) {
    const base = koffi.load(path).func('void *OrtGetApiBase()')();
    const [getApi, getVersion] = koffi.decode(base, koffi.array('void *', 2)) as [unknown, unknown];
    const version = koffi.call(getVersion, koffi.proto('const char *RopewalkGetVersion()'));
    if (version !== LIBRARY_VERSION) throw new Error(`the library is version ${String(version)}`);
    const api = koffi.call(getApi, koffi.proto('void *RopewalkGetApi(uint32_t version)'), API_VERSION);
    const length = Math.max(...Object.values(API).map(([index]) => index)) + 1;
    const table = koffi.decode(api, koffi.array('void *', length)) as unknown[];
    this.api = Object.fromEntries(
      Object.entries(API).map(([name, [index, result, parameters]]) => {
        const type = koffi.proto(`${result} Ropewalk_${name}(${parameters})`);
        return [name, (...args: unknown[]) => koffi.call(table[index], type, ...args)];
      }),
    ) as Functions;
    this.env = this.out((out) => this.api.createEnv(3, 'ropewalk', out));
    this.cpu = this.out((out) => this.api.createCpuMemoryInfo(0, 0, out));
  }

  /** Turns a status into an error. */
  check(status: unknown): void {
    if (!status) return;
    const message = String(this.api.getErrorMessage(status));
    this.api.releaseStatus(status);
    throw new Error(message);
  }

  /** The value that a function writes into its last argument. */
  out(call: (out: unknown[]) => unknown): Pointer {
    const out: unknown[] = [null];
    this.check(call(out));
    return out[0] as Pointer;
  }
}

interface Described {
  readonly data: ArrayBufferView;
  readonly dims: readonly number[];
  readonly value: Pointer;
}

/** Inputs and outputs of one run, in C arrays that are kept between runs. */
class Slots {
  private readonly described: (Described | undefined)[];
  readonly names: BigUint64Array;
  readonly values: BigUint64Array;
  private readonly texts: Buffer[];

  constructor(
    private readonly library: Library,
    names: readonly string[],
  ) {
    this.texts = names.map((name) => Buffer.from(`${name}\0`));
    this.names = BigUint64Array.from(this.texts, (text) => library.koffi.address(text));
    this.values = new BigUint64Array(names.length);
    this.described = new Array<Described | undefined>(names.length).fill(undefined);
  }

  get count(): number {
    return this.values.length;
  }

  /** Points a slot at an array; the engine reads or writes it in place. */
  set(slot: number, tensor: OrtTensor): void {
    const data = tensor.data as Float32Array | Int32Array | BigInt64Array;
    const known = this.described[slot];
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
    const { api, cpu, koffi } = this.library;
    const shape = BigInt64Array.from(tensor.dims, BigInt);
    // An empty array has no address of its own, and the engine wants one.
    const address = data.byteLength > 0 ? koffi.address(data) : koffi.address(this.names);
    const type = elementTypes[tensor.type as ElementType];
    const value = this.library.out((out) =>
      api.createTensorWithData(cpu, address, data.byteLength, koffi.address(shape), shape.length, type, out),
    );
    this.described[slot] = { data, dims: tensor.dims, value };
    this.values[slot] = BigInt(value);
  }

  /** Leaves an output to the engine to allocate. */
  clear(slot: number): void {
    const known = this.described[slot];
    if (known) this.library.api.releaseValue(known.value);
    this.described[slot] = undefined;
    this.values[slot] = 0n;
  }

  release(): void {
    for (let slot = 0; slot < this.count; slot++) this.clear(slot);
  }
}

class DirectSession {
  private inputs: Slots | undefined;
  private outputs: Slots | undefined;
  private signature = '';
  private released = false;

  constructor(
    private readonly library: Library,
    private readonly session: Pointer,
  ) {}

  async run(feeds: Record<string, OrtTensor>, fetches: Record<string, OrtTensor | null>) {
    // The event loop goes on between runs, so that signals and timers are heard.
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.released) throw new Error('the session was released');
    const names = { inputs: Object.keys(feeds), outputs: Object.keys(fetches) };
    const signature = JSON.stringify(names);
    if (signature !== this.signature) {
      this.inputs?.release();
      this.outputs?.release();
      this.inputs = new Slots(this.library, names.inputs);
      this.outputs = new Slots(this.library, names.outputs);
      this.signature = signature;
    }
    const inputs = this.inputs!;
    const outputs = this.outputs!;
    names.inputs.forEach((name, slot) => {
      inputs.set(slot, feeds[name]!);
    });
    names.outputs.forEach((name, slot) => {
      const target = fetches[name];
      if (target) outputs.set(slot, target);
      else outputs.clear(slot);
    });
    const { api, koffi } = this.library;
    this.library.check(
      api.run(
        this.session,
        null,
        koffi.address(inputs.names),
        inputs.count > 0 ? koffi.address(inputs.values) : null,
        inputs.count,
        koffi.address(outputs.names),
        outputs.count,
        koffi.address(outputs.values),
      ),
    );
    const results: Record<string, OrtTensor> = {};
    names.outputs.forEach((name, slot) => {
      results[name] = fetches[name] ?? this.take(outputs.values[slot]!);
      if (!fetches[name]) outputs.values[slot] = 0n;
    });
    return results;
  }

  async release(): Promise<void> {
    if (this.released) return;
    this.released = true;
    this.inputs?.release();
    this.outputs?.release();
    this.library.api.releaseSession(this.session);
  }

  /** Copies what the engine allocated into an array of ours, and gives it back. */
  private take(value: Pointer): OrtTensor {
    const { api, koffi } = this.library;
    const info = this.library.out((out) => api.getTensorTypeAndShape(value, out));
    const number: unknown[] = [0];
    this.library.check(api.getTensorElementType(info, number));
    const type = (Object.keys(elementTypes) as ElementType[]).find((key) => elementTypes[key] === number[0]);
    this.library.check(api.getDimensionsCount(info, number));
    const shape = new BigInt64Array(Number(number[0]));
    if (shape.length > 0) this.library.check(api.getDimensions(info, koffi.address(shape), shape.length));
    api.releaseTensorTypeAndShapeInfo(info);
    const dims = Array.from(shape, Number);
    const size = dims.reduce((product, dim) => product * dim, 1);
    const data = this.library.out((out) => api.getTensorMutableData(value, out));
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

/** Nested settings as the C interface takes them: {session: {a: '1'}} → session.a = 1. */
function* configEntries(extra: object, prefix = ''): Generator<[string, string]> {
  for (const [key, value] of Object.entries(extra)) {
    if (typeof value === 'object' && value !== null) yield* configEntries(value, `${prefix}${key}.`);
    else yield [`${prefix}${key}`, String(value)];
  }
}

/** Settings that the binding serves and this does not: other providers, profiles. */
function isPlain(options: InferenceSession.SessionOptions): boolean {
  const [provider] = options.executionProviders ?? ['cpu'];
  return provider === 'cpu' && !options.enableProfiling && options.graphOptimizationLevel === 'all';
}

/**
 * @param binding onnxruntime-node, which serves what this does not.
 * @returns undefined where koffi or the library is not to be had; the reason is then of no consequence but speed.
 */
export function directRuntime(binding: OnnxRuntime): OnnxRuntime | undefined {
  let library: Library;
  try {
    const path = libraryPath();
    if (path === undefined) return undefined;
    library = new Library(require('koffi') as Koffi, path);
  } catch {
    return undefined;
  }
  const create = async (
    model: Uint8Array,
    options: InferenceSession.SessionOptions = {},
  ): Promise<InferenceSession> => {
    if (!isPlain(options)) return binding.InferenceSession.create(model, options);
    const { api, env, koffi } = library;
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
      const session = library.out((out) =>
        api.createSessionFromArray(env, koffi.address(model), model.byteLength, settings, out),
      );
      return new DirectSession(library, session) as unknown as InferenceSession;
    } finally {
      api.releaseSessionOptions(settings);
    }
  };
  return { InferenceSession: { create }, Tensor: OrtTensor };
}
