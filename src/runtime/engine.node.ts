import * as ort from 'onnxruntime-node';
import { directRuntime } from './direct.node.ts';
import type { Engine, EngineSettings, OnnxRuntime } from './engine.ts';
import { webgpuRuntime } from './webgpu.node.ts';

let direct: ReturnType<typeof directRuntime> | null = null;

/**
 * ONNX Runtime's native library: through its C interface if koffi can call it, otherwise through onnxruntime-node's
 * binding. Both give the same bits.
 *
 * @param defaults with `provider: 'webgpu'` it computes on the graphics card; operators that have no kernel there run
 *   on the CPU. Other providers go through the binding.
 * @param options.binding true always uses the binding.
 */
export function nodeEngine(defaults: EngineSettings = {}, options: { binding?: boolean } = {}): Engine {
  const { provider = 'cpu' } = defaults;
  const binding = ort as OnnxRuntime;
  if (direct === null) direct = directRuntime(binding);
  const served = provider === 'cpu' || provider === 'webgpu';
  const chosen = options.binding || !served ? undefined : direct;
  const runtime = chosen?.runtime ?? binding;
  return {
    name: chosen ? 'onnxruntime (C interface)' : 'onnxruntime-node',
    runtime: provider === 'webgpu' ? webgpuRuntime(runtime) : runtime,
    writesOutputs: true,
    takesWeights: chosen?.placeholder,
    layouts: chosen?.layouts,
    sharesBuffers: chosen !== undefined && provider === 'cpu',
    ...(provider !== 'cpu' && { processor: () => nodeEngine({ ...defaults, provider: 'cpu' }) }),
    ...(chosen && provider === 'webgpu' && { openMemory: () => chosen.openMemory('webgpu') }),
    defaults,
  };
}
