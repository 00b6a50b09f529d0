import { openModel } from '../../checkpoint/load.node.ts';
import { weightSources } from '../../checkpoint/weight-sources.node.ts';
import { type DecoderOptions, decodingEngine } from '../decoder.node.ts';
import type { OpenTaps } from '../local-model.ts';
import { TapRunner } from './taps.ts';

/**
 * Opens a model for taps: its weights in float32, dequantized if the checkpoint is quantized.
 *
 * @param path a model directory or a GGUF file.
 */
export async function openTaps(
  path: string,
  options: Pick<DecoderOptions, 'device' | 'precision' | 'threads' | 'engine'> = {},
): Promise<OpenTaps> {
  const opened = await openModel(path);
  try {
    const { weights, folder, close } = await weightSources(opened, { quantize: 'none' });
    const engine = options.engine ?? decodingEngine(opened.model, options);
    const settings = folder === undefined ? {} : { weightsFolder: folder };
    return { runner: new TapRunner(engine, opened.model, weights, settings), close };
  } finally {
    await opened.checkpoint.tensors.close();
  }
}
