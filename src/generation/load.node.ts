import { openModel, tokenizerOf } from '../checkpoint/load.node.ts';
import { RopewalkError } from '../errors.ts';
import type { CommonConfig } from '../families/config.ts';
import type { CausalLM, Family } from '../families/family.ts';
import { resolveModel } from '../hub/resolve.node.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { type ChatFunction, chatFunction } from './chat.ts';
import { createDecoder, type DecoderOptions } from './decoder.node.ts';
import type { Decoder } from './decoder.ts';
import { generateText, type TextOptions } from './generate-text.ts';

export type LoadOptions = Omit<DecoderOptions, 'engine'>;

/** A model with its tokenizer, ready to continue texts. */
export interface LoadedModel {
  readonly family: Family;
  readonly config: CommonConfig;
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  readonly decoder: Decoder;
  /** Ids that end a text, unless `generate` is given others. */
  readonly stopTokens: readonly number[];
  /** Continues a text, piece by piece. */
  generate(prompt: string, options: TextOptions): AsyncGenerator<string, void>;
  /** Writes the assistant's next message, piece by piece. */
  readonly chat: ChatFunction;
  /** Returns the engine's memory. */
  release(): Promise<void>;
}

/**
 * Loads a model of any of the families: a Hugging Face model directory, or an id on the hub (`org/name`), which is
 * downloaded unless it is in the cache.
 *
 *     const llama = await load('path/to/model');
 *     for await (const piece of llama.generate('Once upon', { maxTokens: 50, temperature: 0.8 })) {
 *       process.stdout.write(piece);
 *     }
 *
 * @throws RopewalkError naming the file and the field or tensor that is missing or wrong.
 */
export async function load(idOrPath: string, options: LoadOptions = {}): Promise<LoadedModel> {
  const directory = await resolveModel(idOrPath);
  const opened = await openModel(directory);
  try {
    const { family, config, model, stopTokens } = opened;
    const tokenizer = await tokenizerOf(opened.checkpoint);
    if (!tokenizer) {
      throw new RopewalkError(`${idOrPath}: it has no tokenizer.json, which turns text into tokens; add it.`);
    }
    const decoder = await createDecoder(opened, options);
    return {
      family,
      config,
      model,
      tokenizer,
      decoder,
      stopTokens,
      generate: (prompt, given) => generateText(decoder, tokenizer, prompt, { stopTokens, ...given }),
      chat: chatFunction({ decoder, tokenizer }, stopTokens, idOrPath),
      release: () => decoder.release(),
    };
  } finally {
    await opened.checkpoint.tensors.close();
  }
}
