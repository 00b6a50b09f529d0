import { RopewalkError } from '../errors.ts';
import { input, mul, scalar } from '../graph/operators/index.ts';
import { emitModel } from '../onnx/emit.ts';
import { bindBuffers, openDeviceMemory, Turns } from './device-memory.web.ts';
import {
  createSessions,
  type Engine,
  type EngineSession,
  type EngineSessionOptions,
  type EngineSettings,
  type OnnxRuntime,
} from './engine.ts';

/** What we use of onnxruntime-web beyond the exports it shares with onnxruntime-node. */
export interface OnnxRuntimeWeb extends OnnxRuntime {
  readonly env: {
    readonly wasm: { numThreads?: number };
    /** Set once a session runs on WebGPU. */
    readonly webgpu?: { readonly device?: unknown };
  };
}

/** A browser has no folders: weights come as bytes, and there is no file for a profile. It computes in float32. */
export type WebSettings = Omit<EngineSettings, 'weightsFolder' | 'profile' | 'precision'>;

/**
 * ONNX Runtime in the browser. The package is the page's own, `import * as ort from 'onnxruntime-web'`, so that the
 * page decides which build to load and from where (`ort.env.wasm.wasmPaths`).
 *
 * All sessions of a page share one pool of WebAssembly threads, started with the first session, so `threads` can only
 * be set here. More than one thread requires a cross-origin isolated page (COOP and COEP headers).
 *
 * @param defaults `provider` is `wasm` unless given; `webgpu` needs a build of onnxruntime-web that has it, and keeps values
 *   on the device while it trains.
 */
export function webEngine(ort: OnnxRuntimeWeb, defaults: WebSettings = {}): Engine {
  const { threads, ...settings } = defaults;
  const { precision = 'float32' } = settings as EngineSettings;
  if (precision !== 'float32')
    throw new RopewalkError(`a browser computes in float32, not in ${precision}; leave precision out.`);
  if (threads !== undefined) ort.env.wasm.numThreads = threads;
  const turns = turnsOf(ort);
  const engine: Engine = {
    name: 'onnxruntime-web',
    runtime: {
      InferenceSession: {
        create: async (model, options) => inTurns(await turns.take(() => create(ort, model, options)), turns),
      },
      Tensor: ort.Tensor,
    },
    // A run copies its outputs from the engine's memory into new arrays, even if it is given arrays.
    writesOutputs: false,
    takesWeights: undefined,
    sharesBuffers: false,
    defaults: { provider: 'wasm', ...settings },
    ...(settings.provider === 'webgpu' && {
      processor: () => webEngine(ort, { ...settings, provider: 'wasm' }),
      openMemory: () => openMemory(engine, ort, turns),
    }),
  };
  return engine;
}

/** All engines of a page are one WebAssembly program. */
const turnsByRuntime = new WeakMap<OnnxRuntimeWeb, Turns>();

function turnsOf(ort: OnnxRuntimeWeb): Turns {
  const turns = turnsByRuntime.get(ort) ?? new Turns();
  turnsByRuntime.set(ort, turns);
  return turns;
}

/** A session that runs when the program is free. */
function inTurns(session: EngineSession, turns: Turns): EngineSession {
  return {
    run: (feeds, fetches) => turns.take(() => session.run(feeds, fetches)),
    release: () => turns.take(() => session.release()),
    endProfiling: () => session.endProfiling(),
    bind: (inputs, outputs) => bindBuffers(session, inputs, outputs),
  };
}

async function openMemory(engine: Engine, ort: OnnxRuntimeWeb, turns: Turns) {
  const dialect = 'webgpu';
  const model = emitModel(new Map([['y', mul(input('x', 'float32', [1]), scalar(2))]]), { dialect });
  const [session] = await createSessions(engine, [{ bytes: model.bytes, provided: [] }], {});
  return openDeviceMemory(ort, turns, session!, ort.env.webgpu?.device);
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
