import { openModel, weightSources } from '../checkpoint/load.node.ts';
import type { CommonConfig } from '../families/config.ts';
import type { CausalLM, Family } from '../families/family.ts';
import { resolveModel } from '../hub/resolve.node.ts';
import { nodeEngine } from '../runtime/engine.node.ts';
import { loadTokenizer } from '../text/tokenizer.node.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { Decoder } from './decoder.ts';
import { generateText, type TextOptions } from './generate-text.ts';

/**
 * Below this many parameters a second thread costs more than it gives: a decode step is many small operators. Measured
 * on two cores at 1M parameters: 0.8 ms a token with one thread, 1.6 ms with two.
 */
const ONE_THREAD_BELOW = 8e6;

/** Threads for decoding this model; undefined leaves the choice to the engine: one thread for each core. */
export function decodingThreads(model: CausalLM): number | undefined {
  return model.parameterCount() < ONE_THREAD_BELOW ? 1 : undefined;
}

export interface LoadOptions {
  /** Threads of the engine; by default one for small models and one for each core for others. */
  readonly threads?: number;
}

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
    const tokenizer = loadTokenizer(directory);
    const { weights, folder } = await weightSources(opened);
    const threads = options.threads ?? decodingThreads(model);
    const engine = nodeEngine(threads === undefined ? {} : { threads });
    const decoder = await Decoder.create(
      engine,
      model,
      weights,
      folder === undefined ? {} : { weightsFolder: folder },
    );
    return {
      family,
      config,
      model,
      tokenizer,
      decoder,
      stopTokens,
      generate: (prompt, given) => generateText(decoder, tokenizer, prompt, { stopTokens, ...given }),
      release: () => decoder.release(),
    };
  } finally {
    await opened.directory.tensors.close();
  }
}
