import { openTokenizer } from '../../checkpoint/tokenizer.node.ts';
import { resolveModel } from '../../hub/resolve.node.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { downloading } from './resolve.ts';

/** The argument of a command that needs only a tokenizer. */
export const TOKENIZER_ARGUMENT =
  'a model directory (only its tokenizer is needed), a tokenizer.json, a GGUF file or an id on the hub';

/** The tokenizer of a model, given by its path or hub id. */
export async function tokenizerNamed(model: string): Promise<Tokenizer> {
  return openTokenizer(await downloading((watching) => resolveModel(model, { weights: false, ...watching })));
}
