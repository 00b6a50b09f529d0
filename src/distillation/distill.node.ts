import type { BatchSource, TrainingRows } from '../batches.ts';
import { option as named, RopewalkError, said } from '../errors.ts';
import { OptionError } from '../options.ts';
import type { Engine } from '../runtime/engine.ts';
import { frozenBy } from '../training/freeze.ts';
import type { SequenceShape } from '../training/graph.ts';
import type { Loss } from '../training/loss.ts';
import { deviceWarnings, type EngineOptions, engineFor } from '../training/runs/engine.node.ts';
import type { RunEvent } from '../training/runs/events.ts';
import type { TrainingJob } from '../training/runs/job.node.ts';
import { thisMachine } from '../training/runs/machine.node.ts';
import { type DataSize, planRun } from '../training/runs/plan.ts';
import type { RunRecord } from '../training/runs/record.ts';
import type { ModelIdentity } from '../training/runs/run-directory.node.ts';
import { type RunOptions, runJob } from '../training/runs/run-job.node.ts';
import { checkSampling, samplingOf } from '../training/runs/samples.ts';
import { resolveSettings } from '../training/settings.ts';
import { offlineLoss, onlineLoss } from './losses.ts';
import { OnlineSource } from './online-source.ts';
import { checkSameTokenizer, type OpenedTeacher, startTeacher, vocabularyHash } from './open-teacher.node.ts';
import { DISTILL, type DistillInput, type DistillSettings } from './settings.ts';
import type { Student } from './student.node.ts';
import { StudentLearner } from './student-learner.ts';
import { OfflineSource, type TaughtFile } from './taught-file.node.ts';

/** The source of the teacher's probabilities. */
export type TeachingSource =
  /** An online teacher, and rows to run it on. */
  | {
      readonly kind: 'online';
      readonly teacher: OpenedTeacher;
      readonly training: () => BatchSource;
      readonly validation?: (() => Iterable<TrainingRows> | AsyncIterable<TrainingRows>) | undefined;
      /** An identifier of the text, such as a hash, which must be the same for a resumed run. */
      readonly dataIdentity: string;
      readonly size: DataSize;
      /** Whether several examples share a row. */
      readonly packed?: boolean;
    }
  /** Recorded probabilities; close the file when the run is over. */
  | { readonly kind: 'offline'; readonly file: TaughtFile };

/** Over several ranks, an online teacher runs on all rows in every process; `teach` writes its probabilities once. */
export interface DistillationOptions extends DistillInput, EngineOptions {
  readonly student: Student;
  readonly teaching: TeachingSource;
  /** The tokenizer's files, saved with the weights. */
  readonly files: ModelIdentity['files'];
}

/**
 * Trains a student on a teacher's probabilities, in a run directory that can be resumed exactly; evaluations use
 * next-token prediction.
 *
 * @throws RopewalkError if the tokenizers differ, naming the first differing token, or if anything else does not fit.
 */
export async function* distill(options: DistillationOptions & RunOptions): AsyncGenerator<RunEvent, void> {
  const { out, resume, signal, measureLimit, ...own } = options;
  yield* runJob(openDistillation(own), {
    out,
    ...(resume && { resume }),
    signal,
    ...(measureLimit && { measureLimit }),
  });
}

/** Prepares a distillation before anything large is allocated. The caller closes the teacher and the file. */
export function openDistillation(options: DistillationOptions): TrainingJob {
  const { student, teaching, files, engine: given, device, precision, threads, ranks, ...input } = options;
  const settings = settingsFor(teaching, input);
  if (settings.shard === 'all') {
    throw new OptionError(
      'shard',
      said`the loss against a teacher needs the whole head on every rank; choose ${named('shard', 'states')}.`,
    );
  }
  const { batch, seq, seed, memory } = settings;
  const packed = teaching.kind === 'online' ? teaching.packed : teaching.file.header.packed;
  const shape: SequenceShape = { batch, seq, ...(packed && { packed: true }) };
  checkTeaching(student, teaching, settings);
  checkSampling(files, settings);
  const { model, family, config, generationConfig } = student;
  const trains = frozenBy(model, settings.freeze);
  const engine = engineFor({ engine: given, device, precision, threads, ranks });
  if (teaching.kind === 'online' && engine.openMemory) {
    throw new OptionError(
      'device',
      "a teacher that answers while the student trains would send its activations through the host's memory at each step; write its answers first (ropewalk teach) and distill from that file.",
    );
  }
  const teacher = teaching.kind === 'online' ? teaching.teacher.opened.model : undefined;
  const machine = thisMachine();
  return {
    ...{ verb: 'distill', engine, model, settings, teacher, warnings: deviceWarnings(engine), ranks },
    // A student with pretrained weights may get worse; one from scratch cannot.
    startsTrained: student.record.from !== 'scratch',
    plan: planRun({
      model,
      trains,
      settings,
      shape,
      data: sizeOf(teaching, settings),
      machine,
      teacher,
      ranks: ranks?.size,
      onDevice: engine.openMemory !== undefined,
      precision: engine.defaults.precision,
    }),
    identity: { family, config, files, ...(generationConfig && { generationConfig }) },
    record: recordOf(student, teaching),
    async start(parallel) {
      const closing: (() => Promise<void>)[] = [];
      const release = async () => {
        for (const close of closing.reverse()) await close();
      };
      try {
        const vocabSize = model.head.weight.shape[0]!;
        const { loss, training, validation } = await prepare(
          engine,
          teaching,
          { shape, settings, vocabSize },
          closing,
        );
        const learner = await StudentLearner.create(engine, model, shape, { loss, memory, trains, parallel });
        closing.push(() => learner.release());
        await learner.fill((values) => student.begin(values, seed));
        const { eos_token_id: eos } = generationConfig ?? config;
        const how = { stopTokens: [eos ?? []].flat() as number[], chats: true };
        const sampling = samplingOf({ engine, learner }, files, settings, how);
        if (sampling) closing.push(() => sampling.release());
        const samples = sampling && (() => sampling.samples());
        return { learner, training, validation, samples, release };
      } catch (error) {
        await release();
        throw error;
      }
    },
    close: async () => {},
  };
}

/** Settings that a file of a teacher's probabilities determines: other values are refused. */
function settingsFor(teaching: TeachingSource, input: DistillInput): DistillSettings {
  if (teaching.kind === 'online') return resolveSettings(DISTILL, input);
  const { path, header } = teaching.file;
  for (const name of ['seq', 'temperature'] as const) {
    if (input[name] !== undefined && input[name] !== header[name]) {
      throw new OptionError(
        name,
        `${path} was written with ${header[name]}; leave the option out, or write another file.`,
      );
    }
  }
  if (input.validation !== undefined) {
    throw new OptionError(
      'validation',
      `the held-out data was chosen when ${path} was written; leave the option out.`,
    );
  }
  const { seq, temperature } = header;
  const { validation: _, ...settings } = resolveSettings(DISTILL, { ...input, seq, temperature });
  return settings as DistillSettings;
}

function sizeOf(teaching: TeachingSource, { batch }: DistillSettings): DataSize {
  if (teaching.kind === 'online') return teaching.size;
  const { rows, heldOut, seq } = teaching.file.header;
  const tokens = rows * seq;
  return {
    ...{ examples: rows, validationExamples: heldOut, tokens, trainedTokens: tokens },
    batchesPerEpoch: rows / batch,
  };
}

function recordOf(student: Student, teaching: TeachingSource): RunRecord {
  const written = teaching.kind === 'offline' ? teaching.file.header : undefined;
  return {
    family: student.family.name,
    teacher: {
      is: teaching.kind,
      identity: teaching.kind === 'online' ? teaching.teacher.identity : written!.teacher.identity,
    },
    text: teaching.kind === 'online' ? teaching.dataIdentity : written!.data,
    ...(written && { written: { k: written.k, method: written.method, seed: written.seed } }),
    student: student.record,
    config: student.family.writeConfig(student.config),
  };
}

function checkTeaching(student: Student, teaching: TeachingSource, { seq }: DistillSettings): void {
  const { model, tokenizer } = student;
  const vocabSize = model.head.weight.shape[0]!;
  if (seq > model.maxPositions) {
    throw new OptionError(
      'seq',
      `${seq} is longer than the student's ${model.maxPositions} positions; choose a smaller one.`,
    );
  }
  const online = teaching.kind === 'online';
  const theirs = online
    ? teaching.teacher.opened.model.head.weight.shape[0]!
    : teaching.file.header.vocabSize;
  if (online && tokenizer) checkSameTokenizer(teaching.teacher.tokenizer, tokenizer);
  if (!online && tokenizer && vocabularyHash(tokenizer) !== teaching.file.header.tokenizer) {
    const { header, path } = teaching.file;
    throw new RopewalkError(
      `${path} was written by a teacher whose tokenizer differs from the student's (the teacher: ${header.teacher.name}); use that model as the teacher to see which token differs, or train a student from scratch.`,
    );
  }
  // The teacher's additional entries, padding of its matrix, are ignored; additional entries of the student could not
  // be taught.
  if (vocabSize > theirs) {
    throw new RopewalkError(
      `the student's vocabulary has ${vocabSize} entries, but the teacher's ${theirs}; use a student with the same number.`,
    );
  }
}

async function prepare(
  engine: Engine,
  teaching: TeachingSource,
  { shape, settings, vocabSize }: { shape: SequenceShape; settings: DistillSettings; vocabSize: number },
  closing: (() => Promise<void>)[],
): Promise<{
  loss: Loss;
  training: BatchSource;
  validation: (() => Iterable<TrainingRows> | AsyncIterable<TrainingRows>) | undefined;
}> {
  if (teaching.kind === 'online') {
    const { teacher, release } = await startTeacher(engine, teaching.teacher, shape);
    closing.push(release);
    return {
      loss: onlineLoss(teacher.head, settings),
      training: new OnlineSource(teaching.training(), teacher, vocabSize),
      validation: teaching.validation,
    };
  }
  const { file } = teaching;
  return {
    loss: offlineLoss(file.header.k, settings),
    training: new OfflineSource(file, { batch: shape.batch, seed: settings.seed, vocabSize }),
    validation: file.header.heldOut > 0 ? () => file.heldOut(shape.batch) : undefined,
  };
}
