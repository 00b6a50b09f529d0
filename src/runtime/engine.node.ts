import { availableParallelism } from 'node:os';
import * as ort from 'onnxruntime-node';
import { option, RopewalkError, said } from '../errors.ts';
import { kernelThreads } from '../kernels/threads/kernel-threads.node.ts';
import { libraryDevice } from './devices.ts';
import { directRuntime } from './direct.node.ts';
import type { Engine, EngineSettings, OnnxRuntime } from './engine.ts';
import { deviceText, type ProviderLibraries } from './providers/provider-libraries.node.ts';
import { webgpuError, webgpuRuntime } from './webgpu.node.ts';
import { webgpuLimits } from './webgpu-limits.node.ts';

let opened: ReturnType<typeof directRuntime> | null = null;

function direct(): ReturnType<typeof directRuntime> {
  if (opened === null) opened = directRuntime(ort as OnnxRuntime);
  return opened;
}

/**
 * ONNX Runtime's native library: through its C interface if koffi can call it, otherwise through onnxruntime-node's
 * binding. Both give the same bits.
 *
 * @param defaults with `provider: 'webgpu'` it computes on the graphics card, with a {@link Device} of a provider library
 *   on that; operators that have no kernel there run on the CPU. Other providers go through the binding.
 * @param options.binding true always uses the binding, which has no provider libraries.
 * @throws RopewalkError if there is no such device.
 */
export function nodeEngine(defaults: EngineSettings = {}, options: { binding?: boolean } = {}): Engine {
  const { provider = 'cpu', precision = 'float32' } = defaults;
  if (libraryDevice(provider)) return libraryEngine(provider, defaults);
  if (precision !== 'float32' && !(provider === 'webgpu' && precision === 'float16')) {
    throw new RopewalkError(
      said`${option('precision', precision)} needs a device that computes in it, such as ${option('device', 'openvino')}; ${provider} computes in ${provider === 'webgpu' ? 'float32 and float16' : 'float32'}.`,
    );
  }
  const served = provider === 'cpu' || provider === 'webgpu';
  const chosen = options.binding || !served ? undefined : direct();
  const runtime = chosen?.runtime ?? (ort as OnnxRuntime);
  return {
    name: chosen ? 'onnxruntime (C interface)' : 'onnxruntime-node',
    runtime: provider === 'webgpu' ? webgpuRuntime(runtime) : runtime,
    writesOutputs: true,
    takesWeights: chosen?.placeholder,
    layouts: chosen?.layouts,
    // The binding refuses arrays on shared memory.
    kernelThreads: chosen && kernelThreads(defaults.threads ?? availableParallelism()),
    sharesBuffers: chosen !== undefined && provider === 'cpu',
    ...(provider !== 'cpu' && {
      processor: () => nodeEngine({ ...defaults, provider: 'cpu', precision: 'float32' }),
    }),
    ...(chosen &&
      provider === 'webgpu' && {
        openMemory: (use) =>
          chosen.openMemory('webgpu', use).catch((error: unknown) => {
            throw webgpuError(error);
          }),
        limits: webgpuLimits,
      }),
    defaults,
  };
}

/** An engine on a device of a provider library. */
function libraryEngine(device: string, defaults: EngineSettings): Engine {
  const { libraries, on, placeholder, layouts } = needLibrary(device);
  const selected = libraries.select(device, defaults.precision);
  return {
    name: `onnxruntime (C interface), ${deviceText(selected.offered)}`,
    runtime: on(selected),
    writesOutputs: true,
    takesWeights: placeholder,
    layouts,
    kernelThreads: kernelThreads(defaults.threads ?? availableParallelism()),
    sharesBuffers: false,
    dialect: selected.dialect,
    defaults,
  };
}

/** The provider libraries of this process. */
export function providerLibraries(): ProviderLibraries {
  return needLibrary('a provider library').libraries;
}

function needLibrary(device: string): NonNullable<ReturnType<typeof directRuntime>> {
  const found = direct();
  if (found) return found;
  throw new RopewalkError(
    said`${device} needs the engine's C interface, which koffi calls; install it ("npm install koffi"), or run on the CPU (${option('device', 'cpu')}).`,
  );
}
