import type { Command } from 'commander';
import { Option } from 'commander';
import { RopewalkError } from '../../errors.ts';
import type { DecoderFlags } from './models.ts';

/** How tokens are guessed ahead. */
export interface SpeculationFlags {
  readonly speculate?: 'lookup';
  readonly draft?: string;
}

export function addSpeculationOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--speculate <how>',
        'guess tokens ahead, for the same text in less time: lookup guesses that earlier text repeats. This uses exact activations (--activations exact), which the identical text requires',
      ).choices(['lookup']),
    )
    .option('--draft <model>', 'a smaller model with the same tokenizer that guesses tokens ahead');
}

/** Refuses guesses that would be made twice, or would change the text. */
export function checkSpeculation({
  speculate,
  draft,
  activations,
}: SpeculationFlags & Pick<DecoderFlags, 'activations'>): void {
  if (speculate && draft !== undefined)
    throw new RopewalkError('--speculate lookup and --draft both guess; give one of them.');
  if ((speculate || draft !== undefined) && activations === 'int8') {
    throw new RopewalkError(
      '--activations int8 gives other numbers for several tokens at once, so the text with guesses would not be the one without; leave out one of the two.',
    );
  }
}
