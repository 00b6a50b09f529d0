import type { CausalLM } from '../../families/family.ts';
import { sizeOf } from '../../graph/dims.ts';
import type { DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { Engine, EngineSession, OnnxRuntime } from '../../runtime/engine.ts';
import { createOnDevice, type MemoryMode } from '../create-learner.ts';
import type { SequenceShape } from '../graph.ts';
import type { Loss } from '../loss.ts';
import { buffersAtOnce } from '../memory.ts';
import type { OptimizerKind, OptimizerOptions } from '../optimizers/create-optimizer.ts';
import { createDeviceOptimizer } from './create-device-optimizer.ts';

/** The memory of training on a device, in bytes. */
export interface DeviceEstimate {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** What passes between layers, and what is kept for the backward pass. */
  readonly activations: number;
  /** Tensors inside graphs: the device keeps their buffers by size. Estimated; the other parts are exact. */
  readonly temporaries: number;
  readonly total: number;
  /** The largest single tensor, which the device's limit must allow. */
  readonly largest: number;
}

export interface RehearsalOptions {
  readonly memory: MemoryMode;
  readonly trains: (path: string) => boolean;
  /** Micro-batches per step. */
  readonly accumulate: number;
  readonly optimizer: OptimizerKind;
  readonly optimizerOptions: OptimizerOptions;
  /** Default cross-entropy. With another one, what further micro-batches add is not counted. */
  readonly loss?: Loss | undefined;
}

/**
 * What a run takes of a device's memory: everything that it would do there is done once, with an engine that compiles
 * nothing and a memory that only counts.
 */
export async function rehearse(
  model: CausalLM,
  shape: SequenceShape,
  options: RehearsalOptions,
): Promise<DeviceEstimate> {
  const memory = new CountingMemory();
  const buffers = new Map<number, number>();
  const engine = rehearsalEngine(memory, (counts) => {
    for (const [size, count] of counts) buffers.set(size, Math.max(buffers.get(size) ?? 0, count));
  });
  const { accumulate, optimizer: kind, optimizerOptions, loss, trains, memory: mode } = options;
  const learner = await createOnDevice(engine, model, shape, {
    ...{ trains, memory: mode },
    ...(loss && { loss }),
  });
  const { parameters, updates } = learner.onDevice;
  const before = memory.byteLength;
  const optimizer = await createDeviceOptimizer(engine, memory, kind, parameters, optimizerOptions);
  await optimizer.prepare(updates);
  const states = memory.byteLength - before;
  if (!loss) {
    const tokens = shape.batch * shape.seq;
    const batch = { inputs: new Int32Array(tokens), targets: new Int32Array(tokens) };
    const batches = Array.from({ length: accumulate }, () => batch);
    await learner.step(batches, { optimizer, learningRate: 1, clip: 1 });
  }
  const bytes = (tensors: Iterable<DeviceTensor>) =>
    [...new Set(tensors)].reduce((sum, { byteLength }) => sum + byteLength, 0);
  const weights = [...model.parameters().values()].reduce((sum, { size }) => sum + 4 * size, 0);
  const ofGradients = bytes(parameters.flatMap(({ gradient }) => gradient));
  const temporaries = [...buffers].reduce((sum, [size, count]) => sum + size * count, 0);
  return {
    ...{ weights, gradients: ofGradients, optimizer: states },
    activations: memory.byteLength - weights - ofGradients - states,
    temporaries,
    total: memory.byteLength + temporaries,
    largest: Math.max(memory.largest, ...buffers.keys()),
  };
}

/** Allocates nothing; every tensor reads as zeros. */
class CountingMemory implements DeviceMemory {
  byteLength = 0;
  largest = 0;
  readonly traffic = { written: 0, read: 0 };
  readonly #views = new Set<DeviceTensor>();

  allocate(dtype: DeviceTensor['dtype'], shape: readonly number[]): DeviceTensor {
    const byteLength = (dtype === 'float16' ? 2 : 4) * (sizeOf(shape) as number);
    this.byteLength += byteLength;
    this.largest = Math.max(this.largest, byteLength);
    return { dtype, shape, byteLength };
  }

  view({ dtype, byteLength }: DeviceTensor, shape: readonly number[]): DeviceTensor {
    const view = { dtype, shape, byteLength };
    this.#views.add(view);
    return view;
  }

  write(): void {}

  read(_tensor: DeviceTensor, into: { fill(value: never): unknown }): void {
    into.fill(0 as never);
  }

  copy(): void {}

  free(tensor: DeviceTensor): void {
    if (!this.#views.delete(tensor)) this.byteLength -= tensor.byteLength;
  }

  async release(): Promise<void> {}
}

function rehearsalEngine(memory: DeviceMemory, note: (buffers: Map<number, number>) => void): Engine {
  const session: EngineSession = {
    run: () => Promise.reject(new Error('nothing is computed in a rehearsal')),
    release: async () => {},
    endProfiling() {},
    bind: () => ({ run() {}, release() {} }),
  };
  const runtime = { InferenceSession: { create: async () => session }, Tensor: class {} };
  return {
    name: 'rehearsal',
    runtime: runtime as unknown as OnnxRuntime,
    writesOutputs: true,
    takesWeights: undefined,
    sharesBuffers: false,
    defaults: { provider: 'webgpu' },
    openMemory: async () => memory,
    onGraph: (outputs) => note(buffersAtOnce(outputs)),
  };
}
