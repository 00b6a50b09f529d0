import type { Command } from 'commander';
import { Option } from 'commander';
import { RopewalkError } from '../../errors.ts';
import { openDraft } from '../../generation/speculate/open-draft.node.ts';
import type { Speculation } from '../../generation/speculate/speculate.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { showWarnings } from '../terminal/warnings.ts';
import { type DecoderFlags, decoderOptions } from './models.ts';
import { modelPath } from './resolve.ts';

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

/**
 * The options that the flags set, the model's required load options, and a function that frees the memory. The draft
 * uses the model's own precision and device; its activations may be rounded, since they do not affect the text.
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
    throw new RopewalkError('--speculate lookup and --draft are alternatives; use one of them.');
  if ((speculate || draft !== undefined) && flags.activations === 'int8') {
    throw new RopewalkError(
      'with --activations int8, several tokens at once give different numbers, so speculation would change the text; leave out one of the two.',
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
