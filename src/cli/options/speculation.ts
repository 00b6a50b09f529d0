import type { Command } from 'commander';
import { Option } from 'commander';
import { RopewalkError } from '../../errors.ts';
import { openDraft } from '../../generation/speculate/open-draft.node.ts';
import type { Speculation } from '../../generation/speculate/speculate.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { showWarnings } from '../terminal/warnings.ts';
import { type DecoderFlags, decoderOptions } from './models.ts';
import { modelPath } from './resolve.ts';

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

/**
 * What the flags ask for, how the model is to be loaded then, and what gives the memory back. The model's own bits and
 * device are the draft's too; its guesses may be rounded, since the text does not depend on them.
 */
export async function speculationFor(
  { speculate, draft }: SpeculationFlags,
  flags: DecoderFlags,
  tokenizer: Tokenizer | undefined,
): Promise<{
  readonly speculate?: Speculation;
  readonly decoder?: Pick<DecoderFlags, 'activations'>;
  release(): Promise<void>;
}> {
  if (speculate && draft !== undefined)
    throw new RopewalkError('--speculate lookup and --draft both guess; give one of them.');
  if ((speculate || draft !== undefined) && flags.activations === 'int8') {
    throw new RopewalkError(
      '--activations int8 gives other numbers for several tokens at once, so the text with guesses would not be the one without; leave out one of the two.',
    );
  }
  const exact = { activations: 'exact' } as const;
  if (draft === undefined)
    return { ...(speculate && { speculate, decoder: exact }), release: async () => {} };
  const opened = await openDraft(await modelPath(draft), tokenizer, decoderOptions(flags));
  showWarnings(opened.warnings);
  return {
    speculate: { draft: opened.decoder },
    decoder: exact,
    release: () => opened.decoder.release(),
  };
}
