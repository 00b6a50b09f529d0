import { openModel, weightSources } from '../checkpoint/load.node.ts';
import { Decoder } from '../generation/decoder.ts';
import { decodingThreads } from '../generation/load.node.ts';
import { nodeEngine } from '../runtime/engine.node.ts';

export interface DecoderFlags {
  readonly threads?: number;
}

/** Opens a model directory for generation or for scoring through the cache. */
export async function openDecoder(path: string, { threads }: DecoderFlags) {
  const opened = await openModel(path);
  try {
    const { weights, folder } = await weightSources(opened);
    const engine = nodeEngine({ threads: threads ?? decodingThreads(opened.model) });
    const decoder = await Decoder.create(
      engine,
      opened.model,
      weights,
      folder ? { weightsFolder: folder } : {},
    );
    return { opened, decoder, engine };
  } finally {
    await opened.directory.tensors.close();
  }
}
