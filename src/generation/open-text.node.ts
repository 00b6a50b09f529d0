import { type OpenedModel, tokenizerOf } from '../checkpoint/load.node.ts';
import { RopewalkError } from '../errors.ts';
import { compileJsonSchema } from '../structured/json-schema.ts';
import type { JsonSchema } from '../structured/schema/keywords.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { checkRoom } from './continuation.ts';
import { createDecoder, type DecoderOptions } from './decoder.node.ts';
import { type GenerationOptions, generateTokens } from './generate.ts';
import { encodePrompt, generatePieces, type TokenPiece } from './generate-text.ts';
import type { SamplingOptions } from './sampler.ts';
import { withSamplingDefaults } from './sampling-defaults.ts';
import { openDraft } from './speculate/open-draft.node.ts';
import { type TextEnd, TextStream } from './text-stream.ts';

/** A text to continue with a model, and how. */
export interface OpenTextOptions extends DecoderOptions, SamplingOptions {
  /** The model's name in messages. */
  readonly name: string;
  /** The text, or its ids: at least one. */
  readonly prompt: string | readonly number[];
  /** The maximum number of tokens to add; by default up to the model's last position. */
  readonly maxTokens?: number | undefined;
  /** Ids that end the text instead of the model's own. */
  readonly stopTokens?: readonly number[] | undefined;
  /** The text ends before the first of these. */
  readonly stop?: readonly string[] | undefined;
  /** If set, the new text is JSON that is valid under this JSON Schema. */
  readonly jsonSchema?: JsonSchema | undefined;
  /** Predicts tokens from repetitions in the text: see `GenerationOptions`. Activations are exact then. */
  readonly speculate?: 'lookup' | undefined;
  /** The path of a smaller model with the same tokenizer that drafts tokens. Activations are exact then. */
  readonly draft?: string | undefined;
  /** Further checks before the weights are read. */
  readonly check?: ((tokenizer: Tokenizer | undefined) => void) | undefined;
}

/** A text that can be continued once. */
export interface OpenedText {
  /** Undefined if the model has none: the pieces are ids without text. */
  readonly tokenizer: Tokenizer | undefined;
  /** Warnings about the draft model's files. */
  readonly draftWarnings: readonly string[];
  /** New tokens with their text, as they are generated. @returns why the text ended. */
  pieces(): AsyncGenerator<TokenPiece, TextEnd>;
  /** Frees the memory of the model and its draft. */
  release(): Promise<void>;
}

/**
 * Prepares an opened model to continue one text. A prompt that does not fit and a schema that cannot be enforced are
 * refused before its weights are read. The checkpoint may be closed afterwards.
 *
 * @throws RopewalkError also if text is given or requested and the model has no tokenizer.
 */
export async function openText(opened: OpenedModel, options: OpenTextOptions): Promise<OpenedText> {
  const { name, prompt, stop, jsonSchema, speculate, draft, check, ...rest } = options;
  const { device, precision, threads, quantize, activations, takesTurns, layoutCache, ...others } = rest;
  const { onProgress, engine, ...more } = others;
  const tokenizer = await tokenizerOf(opened.checkpoint);
  check?.(tokenizer);
  if (!tokenizer && (typeof prompt === 'string' || stop || jsonSchema !== undefined)) {
    throw new RopewalkError(`${name}: it has no tokenizer, which turns text into tokens; give ids.`);
  }
  const ids =
    typeof prompt === 'string' ? encodePrompt(tokenizer!, prompt, opened.config.bos_token_id) : prompt;
  const maxTokens = more.maxTokens ?? Math.max(1, opened.model.maxPositions - ids.length);
  checkRoom(opened.model, 0, ids.length, maxTokens);
  const schema = jsonSchema === undefined ? undefined : compileJsonSchema(jsonSchema, tokenizer!);
  schema?.constraint({ maxTokens });
  const decoding = { device, precision, threads, quantize, layoutCache, engine };
  const guessing =
    draft === undefined ? undefined : await openDraft(draft, tokenizer, { ...decoding, activations });
  const exact = speculate !== undefined || guessing !== undefined;
  const decoder = await createDecoder(opened, {
    ...{ ...decoding, onProgress },
    activations: activations ?? (exact ? 'exact' : undefined),
    takesTurns: takesTurns ?? guessing !== undefined,
  }).catch(async (error: unknown) => {
    await guessing?.decoder.release();
    throw error;
  });
  const stopTokens = more.stopTokens ?? opened.stopTokens;
  const constraint = schema?.constraint({ maxTokens, stopTokens });
  const continuing: GenerationOptions & { stop?: readonly string[] } = {
    ...withSamplingDefaults(opened.sampling, more),
    ...{ maxTokens, stopTokens },
    ...(stop && { stop }),
    ...(guessing ? { speculate: { draft: guessing.decoder } } : speculate && { speculate }),
    ...(constraint && { constraint }),
  };
  return {
    tokenizer,
    draftWarnings: guessing?.warnings ?? [],
    pieces: () =>
      tokenizer
        ? generatePieces(decoder, ids, new TextStream(tokenizer, continuing))
        : idPieces(generateTokens(decoder, ids, continuing), stopTokens),
    async release() {
      await Promise.all([decoder.release(), guessing?.decoder.release()]);
    },
  };
}

async function* idPieces(
  ids: AsyncIterable<number>,
  stopTokens: readonly number[],
): AsyncGenerator<TokenPiece, TextEnd> {
  let end: TextEnd = 'length';
  for await (const id of ids) {
    if (stopTokens.includes(id)) end = 'stop';
    yield { id, text: '' };
  }
  return end;
}
