import type { Dialect } from '../graph/tensor.ts';
import type { KernelThreads } from '../kernels/threads/shared-call.ts';
import type { ProvidedWeight } from '../onnx/emit.ts';
import type { LayoutCache, LayoutEngine, PackedPaths } from '../onnx/layout-cache.ts';
import type { Binding, DeviceMemory, DeviceTensor, DeviceTensors } from './device.ts';
import type { DeviceUse } from './device-errors.ts';
import type { DeviceLimits } from './device-limits.ts';
import type { Precision } from './devices.ts';

/** The part of an ONNX Runtime tensor that we use. */
export interface EngineTensor {
  readonly type: string;
  /** A typed array of the tensor's type. */
  readonly data: unknown;
  readonly dims: readonly number[];
  /** Set for a value on the device, which has no array here; only for an engine with {@link Engine.openMemory}. */
  readonly device?: DeviceTensor;
}

/** Numbers of nodes: by provider, then by operator. */
export type AssignedNodes = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** The part of an ONNX Runtime session that we use. */
export interface EngineSession {
  /** @param fetches the outputs to compute: null, or a tensor to write one into. */
  run(
    feeds: Record<string, EngineTensor>,
    fetches: Record<string, EngineTensor | null>,
  ): Promise<Record<string, EngineTensor>>;
  release(): Promise<void>;
  endProfiling(): void;
  /** How many nodes each provider runs, by operator; only if they were recorded. */
  assignedNodes?(): AssignedNodes;
  /** Binds all inputs and outputs to tensors on the device; only sessions of an engine with {@link Engine.openMemory}. */
  bind?(inputs: DeviceTensors, outputs: DeviceTensors): Binding;
}

/** The session options that we set, by ONNX Runtime's names. */
export interface EngineSessionOptions {
  executionProviders?: string[];
  enableMemPattern?: boolean;
  executionMode?: 'sequential' | 'parallel';
  graphOptimizationLevel?: 'disabled' | 'basic' | 'extended' | 'all';
  logSeverityLevel?: 0 | 1 | 2 | 3 | 4;
  intraOpNumThreads?: number;
  enableProfiling?: boolean;
  profileFilePrefix?: string;
  /** Ours; see {@link SessionSettings.inBackground}. */
  inBackground?: boolean;
  /** Ours: the session writes its graph, and its weights with their packed forms, into files of one folder. */
  saves?: PackedPaths;
  extra?: Record<string, unknown>;
}

/** A model, and the weights outside it. */
export interface SessionModel {
  readonly bytes: Uint8Array;
  readonly provided: readonly ProvidedWeight[];
}

/**
 * The two exports of an ONNX Runtime package that we use; onnxruntime-node and onnxruntime-web have both. Described
 * here rather than imported, since the packages' own types need those of a browser.
 */
export interface OnnxRuntime {
  readonly InferenceSession: {
    /**
     * @param provided weights outside the model, for an engine that `takesWeights`.
     * @param layouts keeps them between starts.
     */
    create(
      model: Uint8Array,
      options?: EngineSessionOptions,
      provided?: readonly ProvidedWeight[],
      layouts?: LayoutCache,
    ): Promise<EngineSession>;
    /** Several sessions at the same time, whose weights are kept together; only for an engine that `takesWeights`. */
    createAll?(
      models: readonly SessionModel[],
      options: EngineSessionOptions,
      layouts?: LayoutCache,
    ): Promise<EngineSession[]>;
  };
  readonly Tensor: {
    new (type: 'float32', data: Float32Array, dims: readonly number[]): EngineTensor;
    new (type: 'int32', data: Int32Array, dims: readonly number[]): EngineTensor;
    new (type: 'int64', data: BigInt64Array, dims: readonly number[]): EngineTensor;
  };
}

export interface SessionSettings {
  /** Threads inside one operator. Default: the engine's choice, one per physical core. */
  readonly threads?: number;
  /** Folder of the files that hold initializers. */
  readonly weightsFolder?: string;
  /** Whether the engine may keep weights in a second, faster layout. Default true. */
  readonly prepack?: boolean;
  /** Set when the graph recomputes values on purpose: stops the engine from merging them. */
  readonly recomputes?: boolean;
  /**
   * Whether threads spin while they wait for the next run: it then starts a little sooner (2 to 4 % of a token's time
   * in a small model), but they keep the processors from all other sessions. Default false: where sessions take
   * turns, as in training block by block, spinning threads made steps of small models take four times as long.
   */
  readonly spinsBetweenRuns?: boolean;
  /**
   * Whether runs leave the calling thread free, such as for communication with other processes. Only through the C
   * interface; otherwise without effect. Default false: another thread costs a little at each run. Two ranks that gather
   * sharded weights (12 layers of SmolLM2-135M's shape, 4 × 128 tokens, a busy machine with 2 cores) took 4.3 s a step with
   * it, and 4.7 s where MPI was called only between runs.
   */
  readonly inBackground?: boolean;
  /** Whether every operator must run on the engine's device: a graph with one that would run on the processor is refused. */
  readonly onDeviceOnly?: boolean;
  /**
   * Sessions that the graph is cut into, which are created at the same time. Only for an engine that takes weights one
   * by one. Default: by the weights' size. The results have the same bits.
   */
  readonly parts?: number;
  /** Set for a graph that is only tried: ONNX Runtime then does not log the error that it also throws. */
  readonly isTrial?: boolean;
  /** Writes ONNX Runtime's profile to a file with this prefix. */
  readonly profile?: string;
  /** Records which provider runs each node, for `Executable.assignedNodes`. Only through the C interface. */
  readonly recordsNodes?: boolean;
}

/** The defaults of all sessions of an engine. */
export interface EngineSettings extends SessionSettings {
  /** Execution provider. Default: cpu in Node, wasm in the browser. */
  readonly provider?: string;
  /** What a device of a provider library computes in. Default float32. */
  readonly precision?: Precision;
}

/** Runs ONNX models: ONNX Runtime's native library in Node, its WebAssembly build in the browser. */
export interface Engine {
  readonly name: string;
  readonly runtime: OnnxRuntime;
  /** Whether a run writes into the output arrays it is given (it still returns copies). */
  readonly writesOutputs: boolean;
  /**
   * Set if weights are handed over one by one, outside the model, so that they are in memory once. Models name this
   * folder and file for them: the engine checks that the file exists and does not read it.
   */
  readonly takesWeights: { readonly folder: string; readonly file: string } | undefined;
  /** What a cache of weights must know of this engine, if it takes weights from one. */
  readonly layouts?: LayoutEngine | undefined;
  /** Opens the memory of the device that its sessions run on, if values can stay there; by default for training. */
  readonly openMemory?: ((use?: DeviceUse) => Promise<DeviceMemory>) | undefined;
  /** What is known of the device that its sessions run on, where it has memory of its own. Nothing is allocated there. */
  readonly limits?: (() => Promise<DeviceLimits>) | undefined;
  /** An engine of this machine's processor, with the same threads, where this one is another device's. */
  readonly processor?: (() => Engine) | undefined;
  /** Threads that run the host's loops on the arrays of training, which the engine then reads on shared memory. */
  readonly kernelThreads?: KernelThreads | undefined;
  /** Whether an output may be written over the input that it updates: caches then grow in place. */
  readonly sharesBuffers: boolean;
  /** Which operators its device has; by default those of its provider. */
  readonly dialect?: Dialect | undefined;
  readonly defaults: EngineSettings;
}

/** The operators that the engine's kernels support. */
export function dialectOf({ dialect, defaults }: Engine): Dialect {
  return dialect ?? (defaults.provider === 'webgpu' ? 'webgpu' : 'onnxruntime');
}

/**
 * Buffers are kept by their exact sizes: with the provider's default, which keeps those of some sizes up to 160 MB, a
 * layer's backward pass on 16 × 1,024 tokens took 46 instead of 24 ms (H100). More kernels are submitted at a time, for 5 %.
 *
 * With validation, a run that the device refuses, such as one with a tensor that it cannot make, is an error. The provider's default
 * takes the errors of runs too, but skips some of the device's checks. What they cost is within the noise (docs/devices.md).
 */
export const WEBGPU_OPTIONS = {
  ...{ storageBufferCacheMode: 'simple', maxNumPendingDispatches: '64' },
  validationMode: 'basic',
};

/**
 * A session for each model; several only for an engine that `takesWeights`.
 *
 * @param layouts keeps the weights between starts.
 */
export async function createSessions(
  engine: Engine,
  models: readonly SessionModel[],
  settings: SessionSettings,
  layouts?: LayoutCache,
): Promise<EngineSession[]> {
  const all = { ...engine.defaults, ...settings };
  const session: Record<string, string> = {};
  if (all.weightsFolder !== undefined)
    session.model_external_initializers_file_folder_path = all.weightsFolder;
  if (all.prepack === false) session.disable_prepacking = '1';
  if (all.onDeviceOnly) session.disable_cpu_ep_fallback = '1';
  if (!all.spinsBetweenRuns) session.force_spinning_stop = '1';
  // The arena grows by powers of two: up to half of what packed weights took there stayed empty.
  session.use_device_allocator_for_initializers = '1';
  if (all.recordsNodes) session.record_ep_graph_assignment_info = '1';
  const extra: Record<string, unknown> = { session };
  const disabled = [
    ...(all.recomputes ? ['CommonSubexpressionElimination'] : []),
    // It undoes what `matmul` writes for WebGPU.
    ...(all.provider === 'webgpu' ? ['GemmTransposeFusion'] : []),
  ];
  if (disabled.length > 0) extra.optimization = { disable_specified_optimizers: disabled.join(';') };
  if (all.provider === 'webgpu') extra.ep = { webgpuexecutionprovider: WEBGPU_OPTIONS };
  const options: EngineSessionOptions = {
    executionProviders: [all.provider ?? 'cpu'],
    // Measured: planning memory by pattern raises a training graph's peak by half and is no faster.
    enableMemPattern: false,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: all.isTrial ? 4 : 3,
    ...(all.threads !== undefined && { intraOpNumThreads: all.threads }),
    ...(all.inBackground && { inBackground: true }),
    ...(all.profile !== undefined && { enableProfiling: true, profileFilePrefix: all.profile }),
    extra,
  };
  const { InferenceSession } = engine.runtime;
  const [{ bytes, provided }] = models as [SessionModel];
  if (models.length === 1) return [await InferenceSession.create(bytes, options, provided, layouts)];
  return InferenceSession.createAll!(models, options, layouts);
}
