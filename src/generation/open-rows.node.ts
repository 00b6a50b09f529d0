import { type OpenedModel, tokenizerOf } from '../checkpoint/load.node.ts';
import { RopewalkError } from '../errors.ts';
import { coresPerRank } from '../ranks/cores.node.ts';
import { compileJsonSchema } from '../structured/json-schema.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { checkRoom } from './continuation.ts';
import { createDecoder } from './decoder.node.ts';
import { checkIds } from './decoder.ts';
import { type GeneratedRow, generateRows, type RowStream, type RowsSettings } from './generate-rows.ts';
import { encodePrompt } from './generate-text.ts';
import type { OpenTextOptions } from './open-text.node.ts';
import { withSamplingDefaults } from './sampling-defaults.ts';
import { type TextEnd, type TextOptions, TextStream } from './text-stream.ts';

/** A prompt, and its location for messages: `prompts.jsonl:12`. */
export interface PromptRow {
  readonly where: string;
  readonly prompt: string | readonly number[];
}

export interface OpenRowsOptions
  extends Omit<OpenTextOptions, 'prompt' | 'speculate' | 'draft' | 'takesTurns'>,
    RowsSettings {
  readonly prompts: readonly PromptRow[];
}

/** Prompts that can be continued once. */
export interface OpenedRows {
  /** What follows each prompt, in order. */
  rows(): AsyncGenerator<GeneratedRow, void>;
  /** Frees the memory of the model. */
  release(): Promise<void>;
}

/**
 * Prepares an opened model to continue many prompts. The seed of a row is `seed` plus its index, from 0. A prompt that does
 * not fit and a schema that cannot be enforced are refused before the weights are read. The checkpoint may be closed
 * afterwards.
 *
 * @throws RopewalkError naming the row; also if text is given or requested and the model has no tokenizer.
 */
export async function openRows(opened: OpenedModel, options: OpenRowsOptions): Promise<OpenedRows> {
  const { name, prompts, stop, jsonSchema, check, batch, ranks, signal, ...rest } = options;
  const { device, threads, quantize, activations, layoutCache, onProgress, engine, ...more } = rest;
  const tokenizer = await tokenizerOf(opened.checkpoint);
  check?.(tokenizer);
  if (!tokenizer && (stop || jsonSchema !== undefined))
    throw new RopewalkError(`${name}: it has no tokenizer, which turns text into tokens.`);
  const stopTokens = more.stopTokens ?? opened.stopTokens;
  const encoded = prompts.map((row) => encoding(opened, tokenizer, row, more.maxTokens));
  const schema = jsonSchema === undefined ? undefined : compileJsonSchema(jsonSchema, tokenizer!);
  for (const { maxTokens } of schema ? encoded : []) schema!.constraint({ maxTokens });
  const sampling = withSamplingDefaults(opened.sampling, more);
  const decoder = await createDecoder(opened, {
    ...{ device, quantize, activations, layoutCache, onProgress, engine },
    threads: threads ?? (ranks && coresPerRank(ranks)),
  });
  const streamOf = (row: number): RowStream => {
    const { maxTokens } = encoded[row]!;
    const constraint = schema?.constraint({ maxTokens, stopTokens });
    const own: TextOptions = {
      ...{ ...sampling, maxTokens, stopTokens, seed: (sampling.seed ?? 0) + row },
      ...(stop && { stop }),
      ...(constraint && { constraint }),
    };
    return tokenizer ? new TextStream(tokenizer, own) : new IdStream(own);
  };
  const ids = encoded.map((row) => row.ids);
  return {
    rows: () => generateRows(decoder, ids, streamOf, { batch, ranks, signal }),
    release: () => decoder.release(),
  };
}

/** A row's ids, and how many may follow. */
function encoding(
  { model, config }: OpenedModel,
  tokenizer: Tokenizer | undefined,
  { where, prompt }: PromptRow,
  most: number | undefined,
): { readonly ids: readonly number[]; readonly maxTokens: number } {
  try {
    if (typeof prompt === 'string' && !tokenizer)
      throw new RopewalkError('the model has no tokenizer, which turns text into tokens; give "ids".');
    const ids = typeof prompt === 'string' ? encodePrompt(tokenizer!, prompt, config.bos_token_id) : prompt;
    checkIds(ids, config.vocab_size);
    const maxTokens = most ?? Math.max(1, model.maxPositions - ids.length);
    checkRoom(model, 0, ids.length, maxTokens);
    return { ids, maxTokens };
  } catch (error) {
    if (!(error instanceof RopewalkError)) throw error;
    throw new RopewalkError(`${where}: ${error.message}`, { cause: error });
  }
}

/** The stream of a model without a tokenizer. */
class IdStream implements RowStream {
  ended = false;

  constructor(readonly options: TextOptions) {}

  get end(): TextEnd {
    return this.ended ? 'stop' : 'length';
  }

  push(id: number): string {
    this.ended ||= this.options.stopTokens?.includes(id) === true;
    return '';
  }

  flush(): string {
    return '';
  }
}
