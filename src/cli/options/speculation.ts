import type { Command } from 'commander';
import { Option } from 'commander';
import { RopewalkError } from '../../errors.ts';
import type { DecoderFlags } from './models.ts';

/** How tokens are speculated. */
export interface SpeculationFlags {
  readonly speculate?: 'lookup';
  readonly draft?: string;
}

export function addSpeculationOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--speculate <how>',
        'speculative decoding, for the same text in less time: lookup guesses that earlier text repeats. It requires exact activations (--activations exact)',
      ).choices(['lookup']),
    )
    .option('--draft <model>', 'draft model for speculative decoding: a smaller one with the same tokenizer');
}

/** Refuses guesses that would be made twice, or would change the text. */
export function checkSpeculation({
  speculate,
  draft,
  activations,
}: SpeculationFlags & Pick<DecoderFlags, 'activations'>): void {
  if (speculate && draft !== undefined)
    throw new RopewalkError('--speculate lookup and --draft are alternatives; use one of them.');
  if ((speculate || draft !== undefined) && activations === 'int8') {
    throw new RopewalkError(
      'with --activations int8, several tokens at once give different numbers, so speculation would change the text; leave out one of the two.',
    );
  }
}
