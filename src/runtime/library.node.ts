import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { refuseTelemetry } from './telemetry.node.ts';

/** Indices and types of functions in the OrtApi struct of onnxruntime_c_api.h. The struct only ever grows at its end. */
export const API = {
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
  setOptimizedModelPath: [11, 'void *', 'void *options, void *path'],
  enableProfiling: [14, 'void *', 'void *options, void *prefix'],
  disableMemPattern: [17, 'void *', 'void *options'],
  setLogSeverity: [22, 'void *', 'void *options, int level'],
  setGraphOptimizationLevel: [23, 'void *', 'void *options, int level'],
  setIntraOpNumThreads: [24, 'void *', 'void *options, int threads'],
  createTensor: [48, 'void *', 'void *allocator, void *shape, size_t rank, int type, _Out_ void **value'],
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
  createMemoryInfo: [68, 'void *', 'const char *name, int allocator, int id, int type, _Out_ void **memory'],
  createCpuMemoryInfo: [69, 'void *', 'int allocator, int type, _Out_ void **memory'],
  allocate: [75, 'void *', 'void *allocator, size_t size, _Out_ void **data'],
  free: [76, 'void *', 'void *allocator, void *data'],
  getDefaultAllocator: [78, 'void *', '_Out_ void **allocator'],
  releaseStatus: [93, 'void', 'void *status'],
  releaseMemoryInfo: [94, 'void', 'void *memory'],
  releaseSession: [95, 'void', 'void *session'],
  releaseValue: [96, 'void', 'void *value'],
  releaseTensorTypeAndShapeInfo: [99, 'void', 'void *info'],
  releaseSessionOptions: [100, 'void', 'void *options'],
  endProfiling: [110, 'void *', 'void *session, void *allocator, _Out_ char **file'],
  addSessionConfigEntry: [130, 'void *', 'void *options, const char *key, const char *value'],
  createAllocator: [131, 'void *', 'void *session, void *memory, _Out_ void **allocator'],
  releaseAllocator: [132, 'void', 'void *allocator'],
  runWithBinding: [133, 'void *', 'void *session, void *options, void *binding'],
  createIoBinding: [134, 'void *', 'void *session, _Out_ void **binding'],
  releaseIoBinding: [135, 'void', 'void *binding'],
  bindInput: [136, 'void *', 'void *binding, const char *name, void *value'],
  bindOutput: [137, 'void *', 'void *binding, const char *name, void *value'],
  registerAllocator: [144, 'void *', 'void *env, void *memory, void *arena'],
  addInitializer: [150, 'void *', 'void *options, void *name, void *value'],
  createArena: [156, 'void *', 'size_t most, int strategy, int chunk, int dead, _Out_ void **arena'],
  addExternalInitializers: [210, 'void *', 'void *options, void *names, void *values, size_t count'],
  appendExecutionProvider: [
    216,
    'void *',
    'void *options, const char *name, void *keys, void *values, size_t count',
  ],
  getPairs: [298, 'void', 'void *pairs, _Out_ void **keys, _Out_ void **values, _Out_ size_t *count'],
  registerLibrary: [301, 'void *', 'void *env, const char *name, void *path'],
  getDevices: [303, 'void *', 'void *env, _Out_ void **devices, _Out_ size_t *count'],
  appendDevices: [
    304,
    'void *',
    'void *options, void *env, void *devices, size_t deviceCount, void *keys, void *values, size_t count',
  ],
  hardwareType: [307, 'int', 'void *hardware'],
  hardwareVendor: [309, 'const char *', 'void *hardware'],
  hardwareMetadata: [311, 'void *', 'void *hardware'],
  deviceProvider: [312, 'const char *', 'void *device'],
  deviceVendor: [313, 'const char *', 'void *device'],
  deviceMetadata: [314, 'void *', 'void *device'],
  deviceHardware: [316, 'void *', 'void *device'],
  copyTensors: [386, 'void *', 'void *env, void *from, void *to, void *stream, size_t count'],
  assignedGraphs: [407, 'void *', 'void *session, _Out_ void **graphs, _Out_ size_t *count'],
  assignedProvider: [408, 'void *', 'void *graph, _Out_ const char **name'],
  assignedNodes: [409, 'void *', 'void *graph, _Out_ void **nodes, _Out_ size_t *count'],
  assignedOperator: [412, 'void *', 'void *node, _Out_ const char **type'],
} as const;

/** Position of RegisterExecutionProviderLibrary, for a process that only tries a library. */
export const REGISTER_LIBRARY = API.registerLibrary[0];

const API_VERSION = 24;
const LIBRARY_VERSION = '1.30.0';
/** Name and version of the engine: kept layouts are only for it. */
export const ENGINE_NAME = `onnxruntime ${LIBRARY_VERSION}`;

/** onnx.TensorProto.DataType of the arrays that we pass. */
export const elementTypes = { float32: 1, uint8: 2, int32: 6, int64: 7, float16: 10 } as const;
export type ElementType = keyof typeof elementTypes;

export type Pointer = bigint;
type Function = (...args: unknown[]) => unknown;
type BackgroundFunction = (...args: unknown[]) => Promise<unknown>;
type Functions = Record<keyof typeof API, Function>;

export interface Koffi {
  load(path: string): {
    func(definition: string): (...args: unknown[]) => unknown;
    symbol(name: string): unknown;
  };
  proto(definition: string): unknown;
  call(pointer: unknown, type: unknown, ...args: unknown[]): unknown;
  config(): Record<string, number>;
  config(settings: Record<string, number>): void;
  /** A function pointer becomes a function, which another thread can run too. */
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

/** Functions that only glibc has. */
interface Glibc {
  trim(pad: number): unknown;
  map(at: null, size: number, protection: number, flags: number, file: number, offset: number): Pointer;
  advise(at: Pointer, size: number, advice: number): number;
  unmap(at: Pointer, size: number): number;
}

function openGlibc(koffi: Koffi): Glibc | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const library = koffi.load('libc.so.6');
    return {
      trim: library.func('int malloc_trim(size_t pad)'),
      map: library.func(
        'void *mmap(void *at, size_t size, int protection, int flags, int file, long offset)',
      ),
      advise: library.func('int madvise(void *at, size_t size, int advice)'),
      unmap: library.func('int munmap(void *at, size_t size)'),
    } as unknown as Glibc;
  } catch {
    return undefined;
  }
}

/** PROT_READ, MAP_SHARED, MADV_DONTNEED */
const [READ, SHARED, NOT_NEEDED] = [1, 1, 4];

/** kSameAsRequested: how an arena grows. */
const AS_REQUESTED = 1;

/** Functions that are called in other threads have this much stack; by default it is too small for creating a session. */
const THREAD_STACK = 2 ** 23;

/** From this size on, memory is allocated so that other threads can share it. */
const LARGE = 2 ** 16;
/** A multiple of the system's pages. */
const PAGES = 2 ** 16;
/** Where possible, memory is in pages of 2 MiB: the first touch of small pages is expensive. */
const LARGE_PAGE = 2 ** 21;
/** MADV_HUGEPAGE */
const LARGE_PAGES = 14;

/** Memory that the engine can use. */
export interface Block {
  /** A multiple of 64. */
  readonly data: Pointer;
  /** The same memory; it must be reachable as long as the engine uses it. */
  readonly bytes: Uint8Array;
  free(): void;
}

/** A file in memory, read-only. */
export interface MappedFile {
  /** A multiple of the page size. */
  readonly data: Pointer;
  /** Gives its pages back to the system, which reads them again when they are used. */
  drop(): void;
  free(): void;
}

/** The library's functions, called by koffi. */
export class Library {
  /** A file that always exists. */
  readonly placeholder: { readonly folder: string; readonly file: string };
  /** The files of the engine and of koffi. */
  readonly paths: { readonly engine: string; readonly koffi: string };
  readonly api: Functions;
  /** `api.run` in another thread. @returns its status. */
  readonly runInBackground: BackgroundFunction;
  readonly env: Pointer;
  readonly cpu: Pointer;
  readonly allocator: Pointer;
  readonly #glibc: Glibc | undefined;
  #sharesArena = false;
  readonly #createInBackground: BackgroundFunction | undefined;

  constructor(
    readonly koffi: Koffi,
    path: string,
  ) {
    this.placeholder = { folder: dirname(path), file: basename(path) };
    this.paths = { engine: path, koffi: require.resolve('koffi') };
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
    /** A function that runs in another thread. */
    const inBackground = (name: keyof typeof API): BackgroundFunction => {
      const [index, result, parameters] = API[name];
      const type = koffi.proto(`${result} RopewalkBackground_${name}(${parameters})`);
      const call = koffi.decode(table[index], type) as { async: Function };
      return (...args) =>
        new Promise((resolve, reject) => {
          call.async(...args, (error: unknown, status: unknown) => (error ? reject(error) : resolve(status)));
        });
    };
    this.runInBackground = inBackground('run');
    const hasStack = (koffi.config().async_stack_size ?? 0) >= THREAD_STACK;
    this.#createInBackground = hasStack ? inBackground('createSessionFromArray') : undefined;
    this.env = this.out((out) => this.api.createEnv(3, 'ropewalk', out));
    this.cpu = this.out((out) => this.api.createCpuMemoryInfo(0, 0, out));
    this.allocator = this.out((out) => this.api.getDefaultAllocator(out));
    this.#glibc = openGlibc(koffi);
  }

  /**
   * Returns freed memory to the system if the C library keeps it (glibc): after loading, that is more than the model
   * itself takes.
   */
  trimMemory(): void {
    this.#glibc?.trim(0);
  }

  /**
   * Makes an arena that sessions with `session.use_env_allocators` share; otherwise each has one of its own, which keeps
   * the most that a run ever needed. It grows by what is asked for, not by powers of two.
   */
  shareArena(): void {
    if (this.#sharesArena) return;
    const { api, env } = this;
    const memory = this.out((out) => api.createCpuMemoryInfo(1, 0, out));
    const arena = this.out((out) => api.createArena(0, AS_REQUESTED, -1, -1, out));
    this.check(api.registerAllocator(env, memory, arena));
    this.#sharesArena = true;
  }

  /**
   * Allocates memory: of a large block, other threads can share the bytes, and its pages go back to the system when it
   * is freed.
   *
   * @throws Error when the memory cannot be allocated.
   */
  allocate(bytes: number): Block {
    const { api, allocator, koffi } = this;
    const glibc = this.#glibc;
    if (glibc && bytes >= LARGE) {
      const alignment = bytes >= LARGE_PAGE ? LARGE_PAGE : PAGES;
      const size = Math.ceil(bytes / PAGES) * PAGES;
      // Shared memory is allocated by the C library, and not counted by the garbage collector, which would run often.
      const buffer = new SharedArrayBuffer(size + alignment);
      const address = BigInt(koffi.address(new Uint8Array(buffer)));
      const skipped = -address & BigInt(alignment - 1);
      const data = address + skipped;
      const whole = bytes - (bytes % LARGE_PAGE);
      if (whole > 0) glibc.advise(data, whole, LARGE_PAGES);
      const view = new Uint8Array(buffer, Number(skipped), bytes);
      return { data, bytes: view, free: () => glibc.advise(BigInt(koffi.address(view)), size, NOT_NEEDED) };
    }
    const data = this.out((out) => api.allocate(allocator, Math.max(4, bytes), out));
    const view = new Uint8Array(koffi.view(data, bytes));
    return { data, bytes: view, free: () => this.check(api.free(allocator, data)) };
  }

  /**
   * Maps the first bytes of an open file, which must never become shorter.
   *
   * @returns undefined where mapping is not supported.
   */
  mapFile(file: number, bytes: number): MappedFile | undefined {
    const glibc = this.#glibc;
    const data = glibc?.map(null, bytes, READ, SHARED, file, 0);
    if (!glibc || data === undefined || BigInt.asIntN(64, BigInt(data)) === -1n) return undefined;
    return {
      data,
      drop: () => glibc.advise(data, bytes, NOT_NEEDED),
      free: () => glibc.unmap(data, bytes),
    };
  }

  /**
   * Gives the pages of a file back that the engine has mapped, unless it wrote to them; they are read again when they are
   * used.
   */
  dropMapped(path: string): void {
    if (!this.#glibc) return;
    let mappings: string;
    try {
      mappings = readFileSync('/proc/self/smaps', 'utf8');
    } catch {
      return;
    }
    for (const mapping of mappings.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
      const [first = ''] = mapping.split('\n', 1);
      const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(first) ?? [];
      if (!first.endsWith(` ${path}`) || !/^Anonymous: *0 kB$/m.test(mapping)) continue;
      const at = BigInt(`0x${start}`);
      this.#glibc.advise(at, Number(BigInt(`0x${end}`) - at), NOT_NEEDED);
    }
  }

  /** `createSessionFromArray`, in another thread if possible. */
  async createSession(model: Uint8Array, settings: Pointer): Promise<Pointer> {
    const { env, koffi, api } = this;
    const out: unknown[] = [null];
    const args = [env, koffi.address(model), model.byteLength, settings, out];
    this.check(await (this.#createInBackground ?? api.createSessionFromArray)(...args));
    return out[0] as Pointer;
  }

  /** Turns a status into an error. */
  check(status: unknown): void {
    if (!status) return;
    const message = String(this.api.getErrorMessage(status));
    this.api.releaseStatus(status);
    throw new Error(message);
  }

  /** The value that a function writes to its last argument. */
  out(call: (out: unknown[]) => unknown): Pointer {
    const out: unknown[] = [null];
    this.check(call(out));
    return out[0] as Pointer;
  }
}

/** Fails if another part of the program has already used koffi. */
function enlargeStacks(koffi: Koffi): void {
  try {
    const settings = koffi.config();
    if ((settings.async_stack_size ?? 0) < THREAD_STACK)
      koffi.config({ ...settings, async_stack_size: THREAD_STACK });
  } catch {
    // Sessions are then created in the calling thread.
  }
}

/** The files of the engine and of koffi. Undefined where one of them is missing. */
export function enginePaths(): Library['paths'] | undefined {
  try {
    const engine = libraryPath();
    return engine === undefined ? undefined : { engine, koffi: require.resolve('koffi') };
  } catch {
    return undefined;
  }
}

/** @returns undefined if koffi or the library is not available; the only consequence is speed. */
export function openLibrary(): Library | undefined {
  refuseTelemetry();
  try {
    const path = libraryPath();
    if (path === undefined) return undefined;
    const koffi = require('koffi') as Koffi;
    enlargeStacks(koffi);
    refuseTelemetry(koffi);
    return new Library(koffi, path);
  } catch {
    return undefined;
  }
}
