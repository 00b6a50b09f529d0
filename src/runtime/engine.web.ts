import { RopewalkError } from '../errors.ts';
import type { Engine, EngineSessionOptions, EngineSettings, OnnxRuntime } from './engine.ts';

/** What we use of onnxruntime-web beyond the names that it shares with onnxruntime-node. */
export interface OnnxRuntimeWeb extends OnnxRuntime {
  readonly env: { readonly wasm: { numThreads?: number } };
}

/** A browser has no folders: weights come as bytes, and a profile has no file to go to. */
export type WebSettings = Omit<EngineSettings, 'weightsFolder' | 'profile'>;

/**
 * ONNX Runtime in the browser. The package is the page's own, `import * as ort from 'onnxruntime-web'`, so that the
 * page says which build it loads and from where (`ort.env.wasm.wasmPaths`).
 *
 * WebAssembly threads are one pool for the whole page, begun with the first session: `threads` is set here or not at
 * all. More than one needs a page that is cross-origin isolated (COOP and COEP headers); otherwise there is one.
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
    // A run copies its outputs from the engine's memory into new arrays, whatever arrays it is given.
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
      'a browser has no folder to read weights from; give them as arrays instead of weightsFolder.',
    );
  }
  if (profileFilePrefix !== undefined) {
    throw new RopewalkError('a browser has no file to write a profile to; leave profile out.');
  }
  return ort.InferenceSession.create(model, options);
}
