import { openModel, weightSources } from '../checkpoint/load.node.ts';
import type { CausalLM } from '../families/family.ts';
import { Decoder } from '../generation/decoder.ts';
import { nodeEngine } from '../runtime/engine.node.ts';

/**
 * Below this many parameters a second thread costs more than it gives: a decode step is many small operators. Measured
 * on two cores at 1M parameters: 0.8 ms a token with one thread, 1.6 ms with two.
 */
const ONE_THREAD_BELOW = 8e6;

export interface DecoderFlags {
  readonly threads?: number;
}

/** Opens a model directory for generation or for scoring through the cache. */
export async function openDecoder(path: string, rows: 'last' | 'all', { threads }: DecoderFlags) {
  const opened = await openModel(path);
  try {
    const { weights, folder } = await weightSources(opened);
    const engine = nodeEngine({ threads: threads ?? defaultThreads(opened.model) });
    const decoder = await Decoder.create(
      engine,
      opened.model,
      weights,
      rows,
      folder ? { weightsFolder: folder } : {},
    );
    return { opened, decoder, engine };
  } finally {
    await opened.directory.tensors.close();
  }
}

/** Undefined leaves the choice to the engine: one thread for each core. */
export function defaultThreads(model: CausalLM): number | undefined {
  return model.parameterCount() < ONE_THREAD_BELOW ? 1 : undefined;
}
