import { ChatTemplate } from '../chat/template.ts';
import { openModel, tokenizerOf } from '../checkpoint/load.node.ts';
import { RopewalkError } from '../errors.ts';
import { createDecoder, type DecoderOptions } from '../generation/decoder.node.ts';
import { AnsweringModel } from './model/answering-model.ts';

export interface OpenAnsweringOptions extends Omit<DecoderOptions, 'activations' | 'takesTurns'> {
  /** The model's name in messages. */
  readonly name: string;
  /** Called with warnings about the model's files. */
  readonly onWarnings?: ((warnings: readonly string[]) => void) | undefined;
  /** A progress bar for loading a large model, by its number of parameters. */
  readonly progressOf?: ((parameters: number) => ((share: number) => void) | undefined) | undefined;
}

/**
 * Opens a model to evaluate it. Activations keep their precision, so that an item has the same answers in any batch.
 *
 * @throws RopewalkError if it has no tokenizer.
 */
export async function openAnsweringModel(
  path: string,
  { name, onWarnings, progressOf, ...options }: OpenAnsweringOptions,
): Promise<{ readonly model: AnsweringModel; close(): Promise<void> }> {
  const opened = await openModel(path, options);
  try {
    onWarnings?.(opened.warnings);
    const tokenizer = await tokenizerOf(opened.checkpoint);
    if (!tokenizer) throw new RopewalkError(`${name}: it has no tokenizer, which turns text into tokens.`);
    const onProgress = progressOf?.(opened.model.parameterCount());
    const decoder = await createDecoder(opened, {
      ...options,
      activations: 'exact',
      ...(onProgress && { onProgress }),
    });
    const model = new AnsweringModel({
      ...{ decoder, tokenizer, sampling: opened.sampling },
      stopTokens: opened.stopTokens,
      template: ChatTemplate.fromConfig(tokenizer.config, `the chat template of ${name}`),
    });
    return { model, close: () => decoder.release() };
  } finally {
    await opened.checkpoint.tensors.close();
  }
}
