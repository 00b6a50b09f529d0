import type { OpenedModel } from '../checkpoint/load.node.ts';
import { weightSources } from '../checkpoint/weight-sources.node.ts';
import type { CausalLM } from '../families/family.ts';
import type { Quantization } from '../onnx/quantize.ts';
import { nodeEngine } from '../runtime/engine.node.ts';
import type { Engine } from '../runtime/engine.ts';
import { Decoder } from './decoder.ts';

/**
 * Below this many parameters a second thread costs more than it gives: a decode step is many small operators. Measured
 * on two cores at 1M parameters: 0.8 ms a token with one thread, 1.6 ms with two.
 */
const ONE_THREAD_BELOW = 8e6;

/** Threads for decoding this model; undefined leaves the choice to the engine: one thread for each core. */
export function decodingThreads(model: CausalLM): number | undefined {
  return model.parameterCount() < ONE_THREAD_BELOW ? 1 : undefined;
}

export interface DecoderOptions {
  /** Threads of the engine; by default one for small models and one for each core for others. */
  readonly threads?: number | undefined;
  /**
   * How the weights of products become few bits; 'none' for float32 whatever the checkpoint has. By default a quantised
   * checkpoint runs in its own bits, and others as they are.
   */
  readonly quantize?: Quantization | 'none' | undefined;
  /** Activations in products in few bits: see {@link weightSources}. */
  readonly activations?: 'int8' | 'exact' | undefined;
  /** Called while weights are read, with the share that has been, 0 to 1. */
  readonly onProgress?: ((share: number) => void) | undefined;
  /** An engine instead of one with these threads. */
  readonly engine?: Engine | undefined;
}

/** Makes an opened model ready to run. The checkpoint may be closed afterwards. */
export async function createDecoder(opened: OpenedModel, options: DecoderOptions = {}): Promise<Decoder> {
  const { quantize, activations, onProgress: onRead } = options;
  const sources = await weightSources(opened, { quantize, activations, onRead });
  const threads = options.threads ?? decodingThreads(opened.model);
  const engine = options.engine ?? nodeEngine(threads === undefined ? {} : { threads });
  const { weights, folder, close } = sources;
  try {
    const settings = folder === undefined ? {} : { weightsFolder: folder };
    return await Decoder.create(engine, opened.model, weights, settings, close);
  } catch (error) {
    close();
    throw error;
  }
}
