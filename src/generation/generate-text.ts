import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { KeyValueCache } from './cache/key-value-cache.ts';
import type { Decoder } from './decoder.ts';
import { generateTokens } from './generate.ts';
import { type TextEnd, type TextOptions, TextStream } from './text-stream.ts';

/** A new token, and the text that became certain with it, often none; the last piece of a text may have no token. */
export interface TokenPiece {
  readonly id?: number;
  readonly text: string;
}

/**
 * Continues a sequence, yielding tokens with their text.
 *
 * @param prompt at least one id.
 * @param stream new, created with the options of the text.
 * @param cache what precedes the prompt.
 * @returns why the text ended.
 * @throws RopewalkError like `generateTokens`.
 */
export async function* generatePieces(
  decoder: Decoder,
  prompt: ArrayLike<number>,
  stream: TextStream,
  cache?: KeyValueCache,
): AsyncGenerator<TokenPiece, TextEnd> {
  for await (const id of generateTokens(decoder, prompt, stream.options, cache)) {
    yield { id, text: stream.push(id) };
    if (stream.ended) break;
  }
  const rest = stream.flush();
  if (rest) yield { text: rest };
  return stream.end;
}

/**
 * Continues a text, piece by piece, in whole characters. Special tokens are left out. The pieces joined are the new
 * text.
 *
 * @returns why it ended.
 * @throws RopewalkError if the prompt and the new tokens exceed the model's positions, or `jsonSchema` requires
 *   something that cannot be enforced, needs more than `maxTokens`, or is combined with `stop`.
 */
export async function* generateText(
  decoder: Decoder,
  tokenizer: Tokenizer,
  prompt: string,
  options: TextOptions,
): AsyncGenerator<string, TextEnd> {
  const stream = new TextStream(tokenizer, options);
  const ids = encodePrompt(tokenizer, prompt, decoder.model.config.bos_token_id);
  return yield* textsOf(generatePieces(decoder, ids, stream));
}

/** The non-empty texts of pieces. */
async function* textsOf(pieces: AsyncGenerator<TokenPiece, TextEnd>): AsyncGenerator<string, TextEnd> {
  try {
    for (;;) {
      const { done, value } = await pieces.next();
      if (done) return value;
      if (value.text) yield value.text;
    }
  } finally {
    await pieces.return('stop');
  }
}

/**
 * A prompt's ids, including special tokens; an empty prompt becomes the token that begins texts.
 *
 * @param bos the model's own choice of that token.
 */
export function encodePrompt(tokenizer: Tokenizer, prompt: string, bos: number | null): readonly number[] {
  const ids = tokenizer.encode(prompt);
  if (ids.length > 0) return ids;
  const first = bos ?? tokenizer.bosId ?? tokenizer.eosId;
  if (first === undefined)
    throw new RopewalkError('the prompt is empty and the model has no bos token to start from.');
  return [first];
}
