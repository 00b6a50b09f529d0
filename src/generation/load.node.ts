import { RopewalkError } from '../errors.ts';
import { registeredFamilies } from '../families/registry.ts';
import type { LanguageModel } from './language-model.ts';
import type { LoadOptions } from './load-here.node.ts';
import { startWorker, workerPort } from './worker/model-worker.node.ts';
import { RemoteModel } from './worker/remote-model.ts';

/**
 * Loads a model of any of the families: a Hugging Face model directory, a GGUF file, or an id on the hub
 * (`org/name`), which is downloaded unless it is in the cache. The model loads and runs in a separate worker thread,
 * so that the caller's event loop stays free; the thread does not keep the process alive while idle.
 *
 *     const llama = await load('path/to/model');
 *     for await (const piece of llama.generate('Once upon', { maxTokens: 50, temperature: 0.8 })) {
 *       process.stdout.write(piece);
 *     }
 *     await llama.release();
 *
 * @throws RopewalkError naming the file and the field or tensor that is missing or wrong.
 */
export async function load(idOrPath: string, options: LoadOptions = {}): Promise<LanguageModel> {
  options.signal?.throwIfAborted();
  try {
    return await RemoteModel.load(workerPort(startWorker()), idOrPath, options);
  } catch (error) {
    throw inThreadsTerms(error);
  }
}

/** Explains an unknown family that is registered only in this thread. */
function inThreadsTerms(error: unknown): unknown {
  const known = registeredFamilies().map(({ name }) => name);
  if (known.length === 0 || !(error instanceof Error) || error.name !== 'UnknownFamilyError') return error;
  return new RopewalkError(
    `${error.message} ${known.join(', ')}: registered in this thread, not in the model's. Start the program with node --import and the module that registers it, or load the model by loadHere().`,
    { cause: error },
  );
}
