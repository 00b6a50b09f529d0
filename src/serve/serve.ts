import type { ServedModel } from './model-pool.ts';
import type { ServeOptions } from './options.ts';
import type { ModelService } from './service.ts';

/**
 * Serves models by OpenAI's API: chats, completions, responses, log-probabilities, tools and structured output, many at
 * once.
 *
 *     const service = await serve({ llama: () => load('path/to/model') });
 *     Bun.serve({ fetch: service.fetch });
 *
 * @param models by the names that requests call them.
 * @throws RopewalkError where there is none.
 */
export async function serve(
  models: Readonly<Record<string, ServedModel>>,
  options: ServeOptions = {},
): Promise<ModelService> {
  // The server's libraries are loaded by programs that serve only: they take as long as all of the package's own code.
  const { createService } = await import('./service.ts');
  return createService(models, options);
}
