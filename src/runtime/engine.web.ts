import { RopewalkError } from '../errors.ts';
import type { Engine, EngineSessionOptions, EngineSettings, OnnxRuntime } from './engine.ts';

/** What we use of onnxruntime-web beyond the exports it shares with onnxruntime-node. */
export interface OnnxRuntimeWeb extends OnnxRuntime {
  readonly env: { readonly wasm: { numThreads?: number } };
}

/** A browser has no folders: weights come as bytes, and there is no file for a profile. */
export type WebSettings = Omit<EngineSettings, 'weightsFolder' | 'profile'>;

/**
 * ONNX Runtime in the browser. The package is the page's own, `import * as ort from 'onnxruntime-web'`, so that the
 * page decides which build to load and from where (`ort.env.wasm.wasmPaths`).
 *
 * All sessions of a page share one pool of WebAssembly threads, started with the first session, so `threads` can only
 * be set here. More than one thread requires a cross-origin isolated page (COOP and COEP headers).
 *
 * @param defaults `provider` is `wasm` unless given; `webgpu` needs a build of onnxruntime-web that has it.
 */
export function webEngine(ort: OnnxRuntimeWeb, defaults: WebSettings = {}): Engine {
  const { threads, ...settings } = defaults;
  if (threads !== undefined) ort.env.wasm.numThreads = threads;
  return {
    name: 'onnxruntime-web',
    runtime: {
      InferenceSession: { create: (model, options) => create(ort, model, options) },
      Tensor: ort.Tensor,
    },
    // A run copies its outputs from the engine's memory into new arrays, even if it is given arrays.
    writesOutputs: false,
    takesWeights: undefined,
    sharesBuffers: false,
    defaults: { provider: 'wasm', ...settings },
  };
}

async function create(ort: OnnxRuntimeWeb, model: Uint8Array, options: EngineSessionOptions = {}) {
  const { intraOpNumThreads: threads, profileFilePrefix, extra } = options;
  if (threads !== undefined && threads !== ort.env.wasm.numThreads) {
    throw new RopewalkError(
      `a session in the browser cannot have its own ${threads} threads; set them for the page: webEngine(ort, { threads: ${threads} }).`,
    );
  }
  const session = (extra as { session?: Record<string, string> } | undefined)?.session ?? {};
  if ('model_external_initializers_file_folder_path' in session) {
    throw new RopewalkError(
      'a browser has no folder to read weights from; pass them as arrays instead of weightsFolder.',
    );
  }
  if (profileFilePrefix !== undefined) {
    throw new RopewalkError('a browser has no file to write a profile to; leave profile out.');
  }
  return ort.InferenceSession.create(model, options);
}
