import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { BatchSampler, type BatchSource, evaluationBatches, type TrainingRows } from '../../batches.ts';
import { prepareDataset } from '../../data/dataset.node.ts';
import { evaluationRows, PackedSource } from '../../data/packed-source.ts';
import { resolveData } from '../../data/reading/resolve-data.node.ts';
import { dataNotes } from '../../data/report.ts';
import { splitDataset } from '../../data/view.ts';
import { RopewalkError } from '../../errors.ts';
import { splitCorpus } from '../../text/corpus.ts';
import { readTextFiles } from '../../text/files.node.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import type { SequenceShape } from '../../training/graph.ts';
import { type Progress, showReading } from '../terminal/progress.ts';
import { addExampleOptions, DATA_HELP, type ExampleFlags, exampleOptions } from './data-options.ts';
import { collect, count, fraction, integer } from './options.ts';
import { asFlag } from './spelling.ts';
import { encodeTexts, TEXT_HELP } from './text-corpus.ts';

export interface DataFlags extends ExampleFlags {
  text?: string[];
  data?: string[];
  validation: number;
  batch: number;
  seq: number;
  seed: number;
  pack: boolean;
}

/** What `teach` and `distill` are told of the text. */
export function addDataOptions(command: Command): Command {
  command.option('--text <file>', TEXT_HELP, collect).option('--data <file>', DATA_HELP, collect);
  return addExampleOptions(command)
    .option('--no-pack', 'one example of --data in a row, rather than as many as fit')
    .option('--validation <share>', 'share that is held out', fraction, 0.1)
    .option('--batch <n>', 'rows in a micro-batch', count, 8)
    .option('--seq <n>', 'tokens in a row', count, 128)
    .option('--seed <n>', 'of everything that is drawn', integer, 0);
}

/** @throws RopewalkError for an option that was given and would change nothing. */
export function checkDataOptions(command: Command): void {
  const given = (name: string) => command.getOptionValueSource(name) === 'cli';
  const refuse = (names: Readonly<Record<string, string>>, reason: string) => {
    const name = Object.keys(names).find(given);
    if (name) throw new RopewalkError(`${names[name]} ${reason}; leave it out.`);
  };
  const ofExamples = {
    template: '--template',
    trainOn: '--train-on',
    pack: '--no-pack',
    column: '--column',
    promptColumn: '--prompt-column',
    completionColumn: '--completion-column',
    tooLong: '--too-long',
    malformed: '--malformed',
  };
  if (given('text')) refuse(ofExamples, 'is for --data: plain text has no turns');
  if (given('taught')) {
    const ofTexts = {
      text: '--text',
      data: '--data',
      seq: '--seq',
      validation: '--validation',
      specialTokens: '--special-tokens',
    };
    const { template: _, ...rest } = ofExamples;
    refuse({ ...ofTexts, ...rest }, 'was settled when --taught was written');
  }
}

/** A text as the teacher's tokenizer cuts it, in rows. */
export interface TeachingText {
  readonly shape: SequenceShape;
  readonly identity: string;
  /** In an order drawn for every epoch. */
  source(): BatchSource;
  /** In order, from the beginning. */
  training(): Iterable<TrainingRows> | AsyncIterable<TrainingRows>;
  heldOut(): Iterable<TrainingRows> | AsyncIterable<TrainingRows>;
  close(): Promise<void>;
}

/** @throws RopewalkError when both or neither of --text and --data are given, or they cannot be read. */
export async function readTeachingText(
  flags: DataFlags,
  tokenizer: Tokenizer,
  { progress, signal }: { readonly progress: Progress; readonly signal: AbortSignal },
): Promise<TeachingText> {
  if ((flags.text === undefined) === (flags.data === undefined)) {
    throw new RopewalkError('give the text with --text, or examples with --data: one of the two.');
  }
  return flags.text
    ? plainText(flags, flags.text, tokenizer, progress, signal)
    : examples(flags, flags.data!, tokenizer, progress, signal);
}

async function plainText(
  { batch, seq, seed, validation: share, specialTokens }: DataFlags,
  files: readonly string[],
  tokenizer: Tokenizer,
  progress: Progress,
  signal: AbortSignal,
): Promise<TeachingText> {
  const documents = await readTextFiles(files, { signal, onWarning: (text) => progress.note(text) });
  const texts = documents.map(({ text }) => text);
  const tokens = await encodeTexts(tokenizer, texts, { specialTokens, progress, signal });
  const { training, validation } = splitCorpus(tokens, share);
  progress.note(
    `${tokens.length.toLocaleString('en')} tokens, ${validation.length.toLocaleString('en')} of them held out`,
  );
  const identity = createHash('sha256')
    .update(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength))
    .update(String(training.length))
    .digest('hex');
  return {
    shape: { batch, seq },
    identity,
    source: () => new BatchSampler({ tokens: training, batch, seq, seed }),
    training: () => evaluationBatches(training, batch, seq),
    heldOut: () => evaluationBatches(validation, batch, seq),
    close: async () => {},
  };
}

async function examples(
  { batch, seq, seed, validation: share, pack, ...flags }: DataFlags,
  names: readonly string[],
  tokenizer: Tokenizer,
  progress: Progress,
  signal: AbortSignal,
): Promise<TeachingText> {
  const folder = await mkdtemp(join(tmpdir(), 'ropewalk-data-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const files = await resolveData(names, { signal, onNote: (text) => progress.note(text) });
    const dataset = await prepareDataset({
      ...(await exampleOptions(flags, tokenizer)),
      ...{ files, tokenizer, maxLength: seq + 1, folder, signal, onProgress: showReading(progress) },
      // Templates that tell the date would otherwise make other tokens of a resumed run.
      now: new Date(0),
    });
    progress.end();
    for (const note of dataNotes(dataset.report, asFlag)) progress.note(note);
    const { training, validation } = splitDataset(dataset, share, seed);
    progress.note(
      `${training.size.toLocaleString('en')} examples, ${validation.size.toLocaleString('en')} more held out; ` +
        `${dataset.trainedTokens.toLocaleString('en')} of ${dataset.tokens.toLocaleString('en')} tokens are targets`,
    );
    const options = { batch, seq, pack };
    return {
      shape: { batch, seq, packed: true },
      identity: `${training.identity}${pack ? ' packed' : ''}`,
      source: () => new PackedSource(training, { ...options, seed }),
      training: () => evaluationRows(training, options),
      heldOut: () => evaluationRows(validation, options),
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
