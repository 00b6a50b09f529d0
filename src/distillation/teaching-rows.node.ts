import { createHash } from 'node:crypto';
import { BatchSampler, type BatchSource, evaluationBatches, type TrainingRows } from '../batches.ts';
import { evaluationRows, PackedSource } from '../data/packed-source.ts';
import { type DatasetView, splitDataset } from '../data/view.ts';
import { splitCorpus } from '../text/corpus.ts';
import type { SequenceShape } from '../training/graph.ts';
import { datasetSize } from '../training/runs/data-size.ts';
import type { DataSize } from '../training/runs/plan.ts';
import type { TrainingSettings } from '../training/settings.ts';
import type { TeachingSource } from './distill.node.ts';
import type { OpenedTeacher } from './open-teacher.node.ts';

/** Rows that a teacher runs on: what `teach` writes down, or an online teacher is asked for. */
export interface TeachingRows {
  readonly shape: SequenceShape;
  /** Tells the data from others. */
  readonly identity: string;
  readonly size: DataSize;
  /** In an order drawn for every epoch. */
  source(): BatchSource;
  /** In order, from the beginning. */
  training(): Iterable<TrainingRows> | AsyncIterable<TrainingRows>;
  /** Absent where nothing is held out. */
  readonly heldOut?: () => Iterable<TrainingRows> | AsyncIterable<TrainingRows>;
}

/** What rows are made by. */
export type TeachingRowsOptions = Pick<TrainingSettings, 'batch' | 'seq' | 'seed' | 'validation'>;

export interface TeachingExamplesOptions extends TeachingRowsOptions {
  /** Whether several examples share a row. */
  readonly pack: boolean;
}

/**
 * Rows of a text.
 *
 * @param tokens `[tokens]`, by the teacher's tokenizer, as from `data.encodeDocuments`.
 */
export function teachingText(
  tokens: Int32Array,
  { batch, seq, seed, validation: share }: TeachingRowsOptions,
): TeachingRows {
  const { training, validation: held } = splitCorpus(tokens, share);
  const source = () => new BatchSampler({ tokens: training, batch, seq, seed });
  const identity = createHash('sha256')
    .update(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength))
    .update(String(training.length))
    .digest('hex');
  return {
    shape: { batch, seq },
    identity,
    size: {
      ...{ tokens: training.length, trainedTokens: training.length, validationTokens: held.length },
      batchesPerEpoch: source().windows / batch,
    },
    source,
    training: () => evaluationBatches(training, batch, seq),
    ...(held.length > 0 && { heldOut: () => evaluationBatches(held, batch, seq) }),
  };
}

/**
 * Rows of examples.
 *
 * @param dataset by the teacher's tokenizer, as from `data.prepareDataset`, of examples of at most `seq + 1` tokens. It stays
 *   the caller's to close.
 */
export async function teachingExamples(
  dataset: DatasetView & { readonly trainedTokens?: number },
  { batch, seq, seed, validation: share, pack }: TeachingExamplesOptions,
): Promise<TeachingRows> {
  const { training, validation: held } = splitDataset(dataset, share, seed);
  const options = { batch, seq, pack };
  const source = () => new PackedSource(training, { ...options, seed });
  return {
    shape: { batch, seq, packed: true },
    identity: `${training.identity}${pack ? ' packed' : ''}`,
    size: await datasetSize(dataset, { training, validation: held }, source().batchesPerEpoch),
    source,
    training: () => evaluationRows(training, options),
    ...(held.size > 0 && { heldOut: () => evaluationRows(held, options) }),
  };
}

/** A teacher that is asked for its probabilities while its student trains on these rows. */
export function onlineTeaching(teacher: OpenedTeacher, rows: TeachingRows): TeachingSource {
  const { source: training, heldOut: validation, identity: dataIdentity, size, shape } = rows;
  return {
    kind: 'online',
    ...{ teacher, training, validation, dataIdentity, size, packed: shape.packed ?? false },
  };
}
