import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import { BatchSampler, type BatchSource, evaluationBatches, type TrainingRows } from '../../batches.ts';
import { prepareDataset } from '../../data/dataset.node.ts';
import { evaluationRows, PackedSource } from '../../data/packed-source.ts';
import { resolveData } from '../../data/reading/resolve-data.node.ts';
import { namedTemplate, TEMPLATE_NAMES, type TemplateName } from '../../data/templates.ts';
import { splitDataset } from '../../data/view.ts';
import { RopewalkError } from '../../errors.ts';
import { encodeCorpusAsync, splitCorpus } from '../../text/corpus.ts';
import { readTextFiles } from '../../text/files.node.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import type { SequenceShape } from '../../training/graph.ts';
import type { Progress } from '../terminal/progress.ts';
import { collect, count, fraction, integer } from './options.ts';

export interface DataFlags {
  text?: string[];
  data?: string[];
  template?: TemplateName;
  trainOn: 'assistant' | 'all';
  validation: number;
  batch: number;
  seq: number;
  seed: number;
  pack: boolean;
}

/** What `teach` and `distill` are told of the text. */
export function addDataOptions(command: Command): Command {
  return command
    .option('--text <file>', 'UTF-8 text; may be given several times', collect)
    .option(
      '--data <file>',
      'chats or instructions in JSONL, JSON, CSV or Parquet, or an id on the hub; may be given several times',
      collect,
    )
    .addOption(
      new Option(
        '--template <name>',
        'a chat template where the teacher has none; saved with the student',
      ).choices(TEMPLATE_NAMES),
    )
    .addOption(
      new Option('--train-on <which>', 'tokens of --data that count')
        .choices(['assistant', 'all'])
        .default('assistant'),
    )
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
  const ofExamples = { template: '--template', trainOn: '--train-on', pack: '--no-pack' };
  if (given('text')) refuse(ofExamples, 'is for --data: plain text has no turns');
  if (given('taught')) {
    const ofTexts = { text: '--text', data: '--data', seq: '--seq', validation: '--validation' };
    const { template: _, ...rest } = ofExamples;
    refuse({ ...ofTexts, ...rest }, 'was settled when --taught was written');
  }
}

/** The files of the tokenizer, with the named chat template in them. */
export function withTemplate(
  files: readonly { readonly name: string; readonly data: string }[],
  template: TemplateName | undefined,
  tokenizer: Tokenizer,
): { name: string; data: string }[] {
  return files.map(({ name, data }) => {
    if (template === undefined || name !== 'tokenizer_config.json') return { name, data };
    const { source } = namedTemplate(template, tokenizer);
    const config = { ...(JSON.parse(data) as object), chat_template: source };
    return { name, data: `${JSON.stringify(config, null, 2)}\n` };
  });
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
  progress: Progress,
): Promise<TeachingText> {
  if ((flags.text === undefined) === (flags.data === undefined)) {
    throw new RopewalkError('give the text with --text, or examples with --data: one of the two.');
  }
  return flags.text
    ? plainText(flags, flags.text, tokenizer, progress)
    : examples(flags, flags.data!, tokenizer, progress);
}

async function plainText(
  { batch, seq, seed, validation: share }: DataFlags,
  files: readonly string[],
  tokenizer: Tokenizer,
  progress: Progress,
): Promise<TeachingText> {
  const documents = await readTextFiles(files);
  const { bosId: begin, eosId: end } = tokenizer;
  const tokens = await encodeCorpusAsync(
    tokenizer,
    documents.map(({ text }) => text),
    {
      // Where a prompt will begin with this token, a document must have done so too.
      ...(begin !== undefined && tokenizer.encode('')[0] === begin && { beginOfDocument: begin }),
      ...(end !== undefined && { endOfDocument: end }),
      onProgress: (done, total) => progress.update('encoding', done, total, ''),
    },
  );
  progress.end();
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
  { batch, seq, seed, validation: share, template, trainOn, pack }: DataFlags,
  files: readonly string[],
  tokenizer: Tokenizer,
  progress: Progress,
): Promise<TeachingText> {
  const folder = await mkdtemp(join(tmpdir(), 'ropewalk-data-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const dataset = await prepareDataset({
      ...{ files: await resolveData(files), tokenizer, trainOn, maxLength: seq + 1, folder },
      ...(template !== undefined && { template }),
      // Templates that tell the date would otherwise make other tokens of a resumed run.
      now: new Date(0),
    });
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
