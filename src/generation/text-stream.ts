import { RopewalkError } from '../errors.ts';
import type { TokenConstraint } from '../structured/constraint.ts';
import { compileJsonSchema } from '../structured/json-schema.ts';
import type { JsonSchema } from '../structured/schema/keywords.ts';
import { StreamDecoder } from '../tokenizer/stream.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { GenerationOptions } from './generate.ts';
import { StopStrings } from './stop-strings.ts';

/** Options for the text of a sequence, besides those for its tokens. */
export interface TextOptions extends GenerationOptions {
  /**
   * The text ends before the first of these; a possible beginning of one is held back until it is clear. Special
   * tokens, which are left out of the text, are searched too.
   */
  readonly stop?: readonly string[];
  /** The new text is JSON that is valid against this JSON Schema (see `compileJsonSchema`). */
  readonly jsonSchema?: JsonSchema;
}

/** Why a text ended: a stop token or string, or no room for more. */
export type TextEnd = 'stop' | 'length';

/**
 * Turns new tokens into text: decides what may be shown, and where it ends. `generate`, `chat`, batches and the
 * command line all use it.
 */
export class TextStream {
  /** With the constraint that the text's options require. */
  readonly options: TextOptions;
  readonly #tokenizer: Tokenizer;
  readonly #decoder: StreamDecoder;
  readonly #stops: StopStrings;
  readonly #showsEnd: boolean;
  #end: TextEnd | undefined;

  /**
   * @param showsEnd whether the token that ends the text is part of it, unless it is special or ends JSON; default
   *   true. The end-of-turn token of a chat is not part of the reply.
   * @throws RopewalkError if `jsonSchema` requires something that cannot be enforced, needs more than `maxTokens`, or
   *   is combined with `stop`.
   */
  constructor(tokenizer: Tokenizer, options: TextOptions, { showsEnd = true } = {}) {
    const constraint = constraintOf(tokenizer, options);
    this.options = { ...options, ...(constraint && { constraint }) };
    this.#tokenizer = tokenizer;
    this.#decoder = new StreamDecoder(tokenizer, { skipSpecialTokens: true });
    this.#stops = new StopStrings(options.stop ?? []);
    this.#showsEnd = showsEnd && constraint === undefined;
  }

  /** Whether a string or token that ends the text has occurred. */
  get ended(): boolean {
    return this.#end === 'stop';
  }

  /** Why the text ended, once no more tokens come. */
  get end(): TextEnd {
    const complete = this.options.constraint?.finished === true;
    return this.#end ?? (complete ? 'stop' : 'length');
  }

  /** Takes a token and returns the text that may be shown. */
  push(id: number): string {
    const ends = this.options.stopTokens?.includes(id) === true;
    if (ends) this.#end = 'stop';
    if (ends && !this.#showsEnd) return '';
    const text = this.#tokenizer.isSpecial(id)
      ? this.#stops.push(this.#tokenizer.idToToken(id) ?? '', false)
      : this.#stops.push(this.#decoder.push(id));
    if (this.#stops.stopped) this.#end = 'stop';
    return text;
  }

  /** The text held back, at the end. */
  flush(): string {
    const text = this.#stops.push(this.#decoder.flush()) + this.#stops.flush();
    if (this.#stops.stopped) this.#end = 'stop';
    return text;
  }
}

function constraintOf(tokenizer: Tokenizer, options: TextOptions): TokenConstraint | undefined {
  const { jsonSchema, constraint, stop, maxTokens, stopTokens = [] } = options;
  if (jsonSchema === undefined) return constraint;
  if (constraint)
    throw new RopewalkError('jsonSchema is a constraint; it cannot be combined with another one.');
  if (stop)
    throw new RopewalkError('jsonSchema determines where the text ends; it cannot be combined with stop.');
  return compileJsonSchema(jsonSchema, tokenizer).constraint({ maxTokens, stopTokens });
}
