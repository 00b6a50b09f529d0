import * as ort from 'onnxruntime-node';
import { directRuntime } from './direct.node.ts';
import type { Engine, EngineSettings, OnnxRuntime } from './engine.ts';
import { webgpuRuntime } from './webgpu.node.ts';

let direct: OnnxRuntime | undefined | null = null;

/**
 * ONNX Runtime's native library: through its C interface where koffi can call it, through onnxruntime-node's binding
 * elsewhere. Both give the same bits.
 *
 * @param defaults with `provider: 'webgpu'` it computes on the graphics card, through the binding; operators that have
 *   no kernel there run on the CPU.
 * @param options.binding true takes the binding in any case.
 */
export function nodeEngine(defaults: EngineSettings = {}, options: { binding?: boolean } = {}): Engine {
  const { provider = 'cpu' } = defaults;
  const binding = ort as OnnxRuntime;
  if (direct === null) direct = directRuntime(binding);
  const chosen = options.binding || provider !== 'cpu' ? undefined : direct;
  return {
    name: chosen ? 'onnxruntime (C interface)' : 'onnxruntime-node',
    runtime: chosen ?? (provider === 'webgpu' ? webgpuRuntime(binding) : binding),
    writesOutputs: true,
    takesWeights: chosen !== undefined,
    sharesBuffers: chosen !== undefined,
    defaults,
  };
}
