import type { BatchSource, TrainingRows } from '../batches.ts';
import { RopewalkError } from '../errors.ts';
import type { Engine } from '../runtime/engine.ts';
import type { MemoryMode } from '../training/create-learner.ts';
import { firstNotFinite } from '../training/diagnose.ts';
import type { SequenceShape } from '../training/graph.ts';
import type { Loss } from '../training/loss.ts';
import {
  createOptimizer,
  type OptimizerKind,
  type OptimizerStates,
} from '../training/optimizers/create-optimizer.ts';
import type { Optimizer } from '../training/optimizers/optimizer.ts';
import { type ModelIdentity, RunDirectory, type RunRecord } from '../training/runs/run.node.ts';
import { lockRun } from '../training/runs/run-lock.node.ts';
import { checkSameRun } from '../training/runs/run-record.ts';
import { type TrainEvent, Trainer, type TrainerSettings } from '../training/trainer.ts';
import { type DistillationSettings, offlineLoss, onlineLoss } from './losses.ts';
import { OnlineSource } from './online-source.ts';
import { checkSameTokenizer, type OpenedTeacher, startTeacher, vocabularyHash } from './open-teacher.node.ts';
import type { Student } from './student.node.ts';
import { StudentLearner } from './student-learner.ts';
import { OfflineSource, type TaughtFile } from './taught-file.node.ts';

export interface DistillSettings extends TrainerSettings, DistillationSettings {
  /** Default `adamw`. */
  readonly optimizer?: OptimizerKind;
  /** What AdamW's moments are kept in. Default `float32`. */
  readonly states?: OptimizerStates;
  /** Not of `sgd`. */
  readonly weightDecay: number;
  /** Of AdamW, as `eps` is. */
  readonly betas: readonly [number, number];
  readonly eps: number;
  /** Of random weights, and of the order of written rows. */
  readonly seed: number;
}

/** Where the teacher's word comes from. */
export type TeachingSource =
  /** A teacher who is at hand, and rows to ask him about. */
  | {
      readonly kind: 'online';
      readonly teacher: OpenedTeacher;
      readonly training: BatchSource;
      readonly validation?: () => Iterable<TrainingRows> | AsyncIterable<TrainingRows>;
      /** What identifies the text, such as a hash: a resumed run must have the same. */
      readonly dataIdentity: string;
    }
  /** What was written down; close the file when the run is over. */
  | { readonly kind: 'offline'; readonly file: TaughtFile };

export interface DistillOptions {
  readonly student: Student;
  readonly teaching: TeachingSource;
  /** Of the micro-batches; offline, its `seq` and `packed` are the file's. */
  readonly shape: SequenceShape;
  readonly settings: DistillSettings;
  /** Default `fast`. */
  readonly memory?: MemoryMode;
  /** The tokenizer's files, saved beside the weights. */
  readonly files: ModelIdentity['files'];
  readonly out: string;
  /** Checkpoints kept; at least 1. */
  readonly keep: number;
  /** Whether a run in `out` is gone on with: never, if there is one, or surely. */
  readonly resume: 'never' | 'if there' | 'must';
}

export type DistillEvent = TrainEvent | { readonly type: 'resumed'; readonly step: number };

/**
 * Trains a student on what a teacher says, in a run directory that can be resumed exactly; evaluations are by next-token
 * prediction. When the signal aborts, the step at hand is finished and a checkpoint saved.
 *
 * @throws RopewalkError when the tokenizers differ, naming the first token that does, or when anything else does not fit.
 */
export async function* distill(
  engine: Engine,
  options: DistillOptions,
  signal?: AbortSignal,
): AsyncGenerator<DistillEvent, void> {
  const { student, shape, settings, out, memory = 'fast' } = options;
  checkTeaching(options);
  const resuming = options.resume === 'must' || (options.resume === 'if there' && RunDirectory.exists(out));
  const stored = resuming ? await RunDirectory.open(out) : undefined;
  const record = recordOf(options);
  if (stored) checkSameRun(stored.record, record, out);
  else await RunDirectory.checkFree(out);

  const lock = await lockRun(out);
  const closing: (() => Promise<void>)[] = [() => lock.release()];
  try {
    const vocabSize = student.model.head.weight.shape[0]!;
    const { loss, training, validation } = await prepare(engine, options, vocabSize, closing);
    const learner = await StudentLearner.create(engine, student.model, shape, { loss, memory });
    closing.push(() => learner.release());
    // A checkpoint of the run itself takes its place.
    await student.begin(learner.values(), settings.seed);
    const parts = {
      ...{ learner, training, optimizer: optimizerOf(learner, settings) },
      ...(validation && { validation }),
      diagnose: (batches: readonly TrainingRows[]) => firstNotFinite(engine, learner, batches),
    };
    // A student that begins from weights may end worse than it began; one from scratch has nothing to lose.
    const evaluateFirst = validation !== undefined && student.record.from !== 'scratch';
    const trainer = new Trainer(parts, { ...settings, evaluateFirst });
    // Only now, so that settings and data that are refused leave no run behind.
    const run = stored ?? (await RunDirectory.create(out, record));
    if (stored) yield { type: 'resumed', step: await run.restore(learner, trainer) };
    const { family, config, generationConfig } = student;
    const identity = { family, config, files: options.files, ...(generationConfig && { generationConfig }) };
    for await (const event of trainer.run(signal)) {
      await run.log(event);
      if (event.type === 'checkpoint') {
        await run.save(learner, identity, event.state, options.keep);
        if (event.last) await run.finish(learner, identity);
      }
      yield event;
    }
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

function optimizerOf({ parameters }: StudentLearner, settings: DistillSettings): Optimizer {
  const { optimizer: kind = 'adamw', states, betas, eps, weightDecay, seed } = settings;
  const options = {
    adamw: { ...(states && { states }), betas, eps, weightDecay, seed },
    adafactor: { weightDecay, seed },
    sgd: {},
  };
  return createOptimizer(kind, parameters, options[kind]);
}

function recordOf({ student, teaching, shape, settings, memory = 'fast' }: DistillOptions): RunRecord {
  const written = teaching.kind === 'offline' ? teaching.file.header : undefined;
  const teacher = teaching.kind === 'online' ? teaching.teacher.identity : written!.teacher.identity;
  const record = {
    format: 1,
    kind: 'distillation',
    family: student.family.name,
    teacher: { is: teaching.kind, identity: teacher },
    text: teaching.kind === 'online' ? teaching.dataIdentity : written!.data,
    ...(written && { written: { k: written.k, method: written.method, seed: written.seed } }),
    student: student.record,
    config: student.family.writeConfig(student.config),
    ...{ shape, memory, settings },
  };
  return JSON.parse(JSON.stringify(record)) as RunRecord;
}

function checkTeaching({ student, teaching, shape, settings }: DistillOptions): void {
  const { model, tokenizer } = student;
  const vocabSize = model.head.weight.shape[0]!;
  if (shape.seq > model.maxPositions) {
    throw new RopewalkError(
      `the sequence length ${shape.seq} is longer than the student's ${model.maxPositions} positions; choose a smaller one.`,
    );
  }
  const theirs =
    teaching.kind === 'online'
      ? teaching.teacher.opened.model.head.weight.shape[0]!
      : teaching.file.header.vocabSize;
  if (teaching.kind === 'online') {
    if (tokenizer) checkSameTokenizer(teaching.teacher.tokenizer, tokenizer);
  } else {
    const { header, path } = teaching.file;
    if (tokenizer && vocabularyHash(tokenizer) !== header.tokenizer) {
      throw new RopewalkError(
        `${path} was written by a teacher with another tokenizer than the student's (the teacher: ${header.teacher.name}); name him as the teacher to see which token differs, or begin a student from scratch.`,
      );
    }
    if (shape.seq !== header.seq || (shape.packed ?? false) !== header.packed) {
      throw new RopewalkError(
        `${path} has rows of ${header.seq} tokens${header.packed ? ', packed' : ''}; distil with the same.`,
      );
    }
    if (settings.temperature !== header.temperature) {
      throw new RopewalkError(
        `${path} was written at temperature ${header.temperature}, but the student would learn at ${settings.temperature}; take the file's, or write another.`,
      );
    }
  }
  // The teacher's further entries, padding of his matrix, are left out; the student's own could not be taught.
  if (vocabSize > theirs) {
    throw new RopewalkError(
      `the student's vocabulary has ${vocabSize} entries, but the teacher's ${theirs}; take a student with as many.`,
    );
  }
}

async function prepare(
  engine: Engine,
  { teaching, shape, settings }: DistillOptions,
  vocabSize: number,
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
      training: new OnlineSource(teaching.training, teacher, vocabSize),
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
