import { RopewalkError } from '../errors.ts';
import type { TokenConstraint } from '../structured/constraint.ts';
import { compileJsonSchema } from '../structured/json-schema.ts';
import type { JsonSchema } from '../structured/schema/keywords.ts';
import { StreamDecoder } from '../tokenizer/stream.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Decoder } from './decoder.ts';
import { type GenerationOptions, generateTokens } from './generate.ts';
import { StopStrings } from './text.ts';

export interface TextOptions extends GenerationOptions {
  /** The text ends before the first of these; what could become one is held back until it is clear. */
  readonly stop?: readonly string[];
  /** The new text is JSON that is valid under this JSON Schema (`compileJsonSchema` says how). */
  readonly jsonSchema?: JsonSchema;
}

/**
 * Continues a text, piece by piece, never with half a character. Special tokens are left out. The pieces joined are
 * the new text.
 *
 * @throws RopewalkError when the prompt and the new tokens do not fit into the model's positions; when `jsonSchema` asks
 *   for something that cannot be enforced, for more than `maxTokens` can hold, or is combined with `stop`.
 */
export async function* generateText(
  decoder: Decoder,
  tokenizer: Tokenizer,
  prompt: string,
  options: TextOptions,
): AsyncGenerator<string, void> {
  const stream = new TextStream(tokenizer, options);
  const ids = encodePrompt(tokenizer, prompt, decoder.model.config.bos_token_id);
  for await (const id of generateTokens(decoder, ids, stream.options)) {
    const piece = stream.push(id);
    if (piece) yield piece;
    if (stream.ended) break;
  }
  const rest = stream.flush();
  if (rest) yield rest;
}

/** The text of new tokens: what may be shown of it, and where it ends. */
export class TextStream {
  /** With the constraint that the text's options ask for. */
  readonly options: TextOptions;
  readonly #decoder: StreamDecoder;
  readonly #stops: StopStrings;
  #ended = false;

  constructor(tokenizer: Tokenizer, options: TextOptions) {
    const constraint = constraintOf(tokenizer, options);
    this.options = { ...options, ...(constraint && { constraint }) };
    this.#decoder = new StreamDecoder(tokenizer, { skipSpecialTokens: true });
    this.#stops = new StopStrings(options.stop ?? []);
  }

  /** Whether a text or a token that ends the text has come. */
  get ended(): boolean {
    return this.#ended;
  }

  /** A token in, text that may be shown out. */
  push(id: number): string {
    const { constraint, stopTokens } = this.options;
    // The token that ends a constrained text is no part of it, whether special or not.
    this.#ended = constraint !== undefined && stopTokens?.includes(id) === true;
    if (this.#ended) return '';
    const text = this.#stops.push(this.#decoder.push(id));
    this.#ended = this.#stops.stopped;
    return text;
  }

  /** What was held back, at the end. */
  flush(): string {
    return this.#stops.push(this.#decoder.flush()) + this.#stops.flush();
  }
}

function constraintOf(tokenizer: Tokenizer, options: TextOptions): TokenConstraint | undefined {
  const { jsonSchema, constraint, stop, maxTokens, stopTokens = [] } = options;
  if (jsonSchema === undefined) return constraint;
  if (constraint)
    throw new RopewalkError('jsonSchema is a constraint; it cannot be combined with another one.');
  if (stop) throw new RopewalkError('jsonSchema says where the text ends; it cannot be combined with stop.');
  return compileJsonSchema(jsonSchema, tokenizer).constraint({ maxTokens, stopTokens });
}

/**
 * A prompt's ids with what the tokenizer puts around a text; an empty one becomes the token that begins texts.
 *
 * @param bos the model's own choice of that token.
 */
export function encodePrompt(tokenizer: Tokenizer, prompt: string, bos: number | null): readonly number[] {
  const ids = tokenizer.encode(prompt);
  if (ids.length > 0) return ids;
  const first = bos ?? tokenizer.bosId ?? tokenizer.eosId;
  if (first === undefined)
    throw new RopewalkError('the prompt is empty and the model has no token that begins a text.');
  return [first];
}
