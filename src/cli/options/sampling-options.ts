import type { Command } from 'commander';
import { RopewalkError } from '../../errors.ts';
import { collect, count, integer, notNegative, positive } from './options.ts';

/** How tokens are drawn, and where a text ends. */
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
 * Without these options a model's generation_config.json decides, and where it says nothing, tokens are drawn at
 * temperature 1.
 *
 * @param what is drawn, in one word: a text, a reply.
 */
export function addSamplingOptions(command: Command, what: 'text' | 'reply'): Command {
  return command
    .option('--greedy', 'take the likeliest token each time')
    .option(
      '--temperature <t>',
      "below 1 safer, above 1 wilder, 0 greedy; this and the next ones by default as the model's generation_config.json says, else 1 and none",
      notNegative,
    )
    .option('--top-k <k>', 'draw from the k likeliest tokens', count)
    .option('--top-p <p>', 'draw from the likeliest tokens that together reach p', positive)
    .option('--min-p <p>', 'draw from tokens at least p times as likely as the likeliest', notNegative)
    .option('--repetition-penalty <r>', 'above 1, repeat less', positive)
    .option('--seed <n>', `equal seeds give the same ${what}`, integer, 0)
    .option(
      '--stop <text>',
      `end the ${what} before this text, which may be a special token; may be given several times`,
      collect,
    );
}

/** Refuses options of drawing where nothing is drawn. */
export function checkSampling({ greedy, temperature, ...flags }: SamplingFlags): void {
  const draws =
    (temperature ?? 0) > 0 || (['topK', 'topP', 'minP'] as const).some((key) => flags[key] !== undefined);
  if (greedy && draws) {
    throw new RopewalkError(
      '--greedy takes the likeliest token; it cannot be combined with options of drawing.',
    );
  }
}
