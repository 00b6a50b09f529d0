import { z } from '@hono/zod-openapi';
import type { CompletionPrompt } from '../../generation/completion/completion.ts';
import { HARMLESS, modelName, responseFormat, SAMPLING, STREAMING, stopField } from './common.ts';

const ids = z.array(z.int().min(0)).min(1);

export const completionsRequest = z
  .strictObject({
    model: modelName,
    prompt: z.union([z.string(), z.array(z.string()).min(1), ids, z.array(ids).min(1)]).nullish(),
    n: z.int().min(1).max(128).nullish(),
    best_of: z.int().min(1).max(128).nullish(),
    stop: stopField,
    max_tokens: z.int().min(0).nullish(),
    logprobs: z.int().min(0).max(20).nullish(),
    echo: z.boolean().nullish(),
    suffix: z.literal('').nullish(),
    response_format: responseFormat,
    ...SAMPLING,
    ...STREAMING,
    ...HARMLESS,
  })
  .openapi('CompletionRequest');

export type CompletionsRequest = z.infer<typeof completionsRequest>;

/** The prompts of the choices: a text, several, ids, or several lists of ids. */
export function promptsOf(
  prompt: CompletionsRequest['prompt'],
): Exclude<CompletionPrompt, { messages: unknown }>[] {
  if (prompt === null || prompt === undefined) return [{ text: '' }];
  if (typeof prompt === 'string') return [{ text: prompt }];
  if (typeof prompt[0] === 'number') return [{ ids: prompt as number[] }];
  return (prompt as (string | number[])[]).map((one) =>
    typeof one === 'string' ? { text: one } : { ids: one },
  );
}
