import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareDataset } from '../../data/dataset.node.ts';
import { resolveData } from '../../data/reading/resolve-data.node.ts';
import { dataNotes } from '../../data/report.ts';
import { type TeachingRows, teachingExamples, teachingText } from '../../distillation/teaching-rows.node.ts';
import { RopewalkError } from '../../errors.ts';
import { FINETUNE } from '../../finetune/settings.ts';
import { OptionError } from '../../options.ts';
import { readTextFiles } from '../../text/files.node.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { type TrainingSettings, trainingOptions } from '../../training/settings.ts';
import { type Progress, showReading } from '../terminal/progress.ts';
import { data, EXAMPLE_DEFAULTS, type ExampleFlags, exampleOptions, exampleShape } from './data-options.ts';
import { asFlag } from './spelling.ts';
import { encodeTexts, textFiles } from './text-corpus.ts';

const { batch, seq, seed, validation } = trainingOptions;

/** Options about the text, for `teach` and `distill`. */
export const teachingShape = {
  text: textFiles,
  data,
  ...exampleShape,
  pack: FINETUNE.own.pack,
};

/** The options of every run that `teach` also has. */
export const rowShape = { batch, seq, seed, validation };

export const TEACHING_DEFAULTS = { ...EXAMPLE_DEFAULTS, pack: true } as const;

/** Their values, with defaults. */
export type DataFlags = ExampleFlags &
  Required<Pick<TrainingSettings, keyof typeof rowShape>> & {
    text?: string | readonly string[] | undefined;
    data?: string | readonly string[] | undefined;
    pack: boolean;
  };

/**
 * @param given the options that were given, by name.
 * @throws OptionError for one without effect.
 */
export function checkDataOptions(given: readonly string[]): void {
  const refuse = (names: readonly string[], reason: string) => {
    const name = names.find((each) => given.includes(each));
    if (name) throw new OptionError(name, `${reason}; leave it out.`);
  };
  const { template, specialTokens, ...ofExamples } = { ...exampleShape, pack: true };
  const rows = Object.keys(ofExamples);
  if (given.includes('text')) refuse(['template', ...rows], 'it is for examples: plain text has no turns');
  if (given.includes('taught')) {
    refuse(
      ['text', 'data', 'seq', 'validation', 'specialTokens', ...rows],
      'that was determined when the file of --taught was written',
    );
  }
}

/** Rows to teach, and what is to be closed after them. */
export interface TeachingText {
  readonly rows: TeachingRows;
  close(): Promise<void>;
}

/** @throws RopewalkError unless exactly one of --text and --data is given, or if they cannot be read. */
export async function readTeachingText(
  flags: DataFlags,
  tokenizer: Tokenizer,
  { progress, signal }: { readonly progress: Progress; readonly signal: AbortSignal },
): Promise<TeachingText> {
  if ((flags.text === undefined) === (flags.data === undefined)) {
    throw new RopewalkError('use either --text or --data.');
  }
  return flags.text
    ? plainText(flags, flags.text, tokenizer, progress, signal)
    : examples(flags, flags.data!, tokenizer, progress, signal);
}

async function plainText(
  { specialTokens, ...flags }: DataFlags,
  files: string | readonly string[],
  tokenizer: Tokenizer,
  progress: Progress,
  signal: AbortSignal,
): Promise<TeachingText> {
  const documents = await readTextFiles([files].flat(), { signal, onWarning: (text) => progress.note(text) });
  const texts = documents.map(({ text }) => text);
  const tokens = await encodeTexts(tokenizer, texts, { specialTokens, progress, signal });
  return { rows: teachingText(tokens, flags), close: async () => {} };
}

async function examples(
  { batch, seq, seed, validation, pack, ...flags }: DataFlags,
  names: string | readonly string[],
  tokenizer: Tokenizer,
  progress: Progress,
  signal: AbortSignal,
): Promise<TeachingText> {
  const folder = await mkdtemp(join(tmpdir(), 'ropewalk-data-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const files = await resolveData([names].flat(), { signal, onNote: (text) => progress.note(text) });
    const dataset = await prepareDataset({
      ...(await exampleOptions(flags, tokenizer)),
      ...{ files, tokenizer, maxLength: seq + 1, folder, signal, onProgress: showReading(progress) },
      // Templates that use the date would otherwise give a resumed run different tokens.
      now: new Date(0),
    });
    progress.end();
    for (const note of dataNotes(dataset.report, asFlag)) progress.note(note);
    return {
      rows: await teachingExamples(dataset, { batch, seq, seed, validation, pack }),
      async close() {
        await dataset.close();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
