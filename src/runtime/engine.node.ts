import * as ort from 'onnxruntime-node';
import { directRuntime } from './direct.node.ts';
import type { Engine, OnnxRuntime, SessionSettings } from './engine.ts';

let direct: OnnxRuntime | undefined | null = null;

/**
 * ONNX Runtime's native library: through its C interface where koffi can call it, through onnxruntime-node's binding
 * elsewhere. Both give the same bits.
 *
 * @param options.binding true takes the binding in any case.
 */
export function nodeEngine(defaults: SessionSettings = {}, options: { binding?: boolean } = {}): Engine {
  const binding = ort as OnnxRuntime;
  if (direct === null) direct = directRuntime(binding);
  const chosen = options.binding ? undefined : direct;
  return {
    name: chosen ? 'onnxruntime (C interface)' : 'onnxruntime-node',
    runtime: chosen ?? binding,
    writesOutputs: true,
    takesWeights: chosen !== undefined,
    sharesBuffers: chosen !== undefined,
    defaults,
  };
}
