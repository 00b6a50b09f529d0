import * as ort from 'onnxruntime-node';
import type { Engine, OnnxRuntime, SessionSettings } from './engine.ts';

/** ONNX Runtime's native library. */
export function nodeEngine(defaults: SessionSettings = {}): Engine {
  return { name: 'onnxruntime-node', runtime: ort as OnnxRuntime, writesOutputs: true, defaults };
}
