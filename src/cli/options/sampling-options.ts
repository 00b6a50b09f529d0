import type { Command } from 'commander';
import { RopewalkError } from '../../errors.ts';
import { collect, count, integer, notNegative, positive } from './options.ts';

/** How tokens are sampled, and where a text ends. */
export interface SamplingFlags {
  readonly greedy?: boolean;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly seed: number;
  readonly stop?: string[];
}

/**
 * Without these options, a model's generation_config.json decides, or else tokens are sampled at temperature 1.
 *
 * @param what is generated, in one word: a text, a reply.
 */
export function addSamplingOptions(command: Command, what: 'text' | 'reply'): Command {
  return command
    .option('--greedy', 'always take the most likely token')
    .option(
      '--temperature <t>',
      "below 1 more predictable, above 1 more varied, 0 greedy; sampling options default to the model's generation_config.json, else to temperature 1",
      notNegative,
    )
    .option('--top-k <k>', 'sample from the k most likely tokens', count)
    .option('--top-p <p>', 'sample from the most likely tokens whose probabilities reach p', positive)
    .option(
      '--min-p <p>',
      'sample from tokens at least p times as likely as the most likely one',
      notNegative,
    )
    .option('--repetition-penalty <r>', 'above 1 reduces repetition', positive)
    .option('--seed <n>', `equal seeds give the same ${what}`, integer, 0)
    .option(
      '--stop <text>',
      `end the ${what} before this string, which may be a special token; may be given several times`,
      collect,
    );
}

/** Refuses sampling options for greedy decoding. */
export function checkSampling({ greedy, temperature, ...flags }: SamplingFlags): void {
  const draws =
    (temperature ?? 0) > 0 || (['topK', 'topP', 'minP'] as const).some((key) => flags[key] !== undefined);
  if (greedy && draws) {
    throw new RopewalkError(
      '--greedy takes the most likely token; it cannot be combined with sampling options.',
    );
  }
}
