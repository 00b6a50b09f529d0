import { RopewalkError } from '../errors.ts';
import type { TokenConstraint } from '../structured/constraint.ts';
import { compileJsonSchema } from '../structured/json-schema.ts';
import type { JsonSchema } from '../structured/schema/keywords.ts';
import { StreamDecoder } from '../tokenizer/stream.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { GenerationOptions } from './generate.ts';
import { StopStrings } from './stop-strings.ts';

/** What a text is made with, beside what its tokens are. */
export interface TextOptions extends GenerationOptions {
  /**
   * The text ends before the first of these; what could become one is held back until it is clear. Special tokens, which
   * are left out of the text, are found as well.
   */
  readonly stop?: readonly string[];
  /** The new text is JSON that is valid under this JSON Schema (`compileJsonSchema` says how). */
  readonly jsonSchema?: JsonSchema;
}

/** Why a text ended: by a token or a text that ends it, or because there was no room for more. */
export type TextEnd = 'stop' | 'length';

/**
 * The text of new tokens: what may be shown of it, and where it ends. Every way from tokens to text goes through here:
 * `generate`, `chat`, batches, the command line.
 */
export class TextStream {
  /** With the constraint that the text's options ask for. */
  readonly options: TextOptions;
  readonly #tokenizer: Tokenizer;
  readonly #decoder: StreamDecoder;
  readonly #stops: StopStrings;
  readonly #showsEnd: boolean;
  #end: TextEnd | undefined;

  /**
   * @param showsEnd whether the token that ends the text is a part of it, unless it is special or ends JSON; default true.
   *   What ends a turn of a chat is none of what was said.
   * @throws RopewalkError when `jsonSchema` asks for something that cannot be enforced, for more than `maxTokens` can
   *   hold, or is combined with `stop`.
   */
  constructor(tokenizer: Tokenizer, options: TextOptions, { showsEnd = true } = {}) {
    const constraint = constraintOf(tokenizer, options);
    this.options = { ...options, ...(constraint && { constraint }) };
    this.#tokenizer = tokenizer;
    this.#decoder = new StreamDecoder(tokenizer, { skipSpecialTokens: true });
    this.#stops = new StopStrings(options.stop ?? []);
    this.#showsEnd = showsEnd && constraint === undefined;
  }

  /** Whether a text or a token that ends the text has come. */
  get ended(): boolean {
    return this.#end === 'stop';
  }

  /** Why the text ended, once no more tokens come. */
  get end(): TextEnd {
    const complete = this.options.constraint?.finished === true;
    return this.#end ?? (complete ? 'stop' : 'length');
  }

  /** A token in, text that may be shown out. */
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

  /** What was held back, at the end. */
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
