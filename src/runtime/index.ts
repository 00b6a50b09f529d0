/** The engine that runs graphs (ONNX Runtime), and graphs compiled for it. */
export { DeviceError, type DeviceProblem } from './device-errors.ts';
export type {
  Engine,
  EngineSession,
  EngineSessionOptions,
  EngineSettings,
  EngineTensor,
  OnnxRuntime,
  SessionSettings,
} from './engine.ts';
export { type OnnxRuntimeWeb, type WebSettings, webEngine } from './engine.web.ts';
export { type CompileOptions, Executable, type HostArray, type HostTensor } from './executable.ts';
export { HostMemory } from './host-memory.ts';
