import { openModel, tokenizerOf } from '../../checkpoint/load.node.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { createDecoder, type DecoderOptions } from '../decoder.node.ts';
import type { Decoder } from '../decoder.ts';
import { checkDraftTokenizer } from './draft-tokenizer.ts';

/**
 * Opens a draft model for another model: its decoder takes turns with the other's.
 *
 * @param path a model directory or a GGUF file.
 * @param tokenizer the other model's, if it has one.
 * @throws RopewalkError naming the first id that differs between the two tokenizers.
 */
export async function openDraft(
  path: string,
  tokenizer: Tokenizer | undefined,
  options: DecoderOptions = {},
): Promise<{ readonly decoder: Decoder; readonly warnings: readonly string[] }> {
  const opened = await openModel(path, options);
  try {
    const own = await tokenizerOf(opened.checkpoint);
    if (tokenizer && own) checkDraftTokenizer(tokenizer, own);
    const decoder = await createDecoder(opened, { ...options, takesTurns: true });
    return { decoder, warnings: opened.warnings };
  } finally {
    await opened.checkpoint.tensors.close();
  }
}
