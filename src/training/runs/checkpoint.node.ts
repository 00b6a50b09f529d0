import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { openModel, readWeights } from '../../checkpoint/load.node.ts';
import { openSafetensors } from '../../checkpoint/safetensors/safetensors-file.ts';
import { writeSafetensors } from '../../checkpoint/safetensors/writer.ts';
import { writeFilesBesideWeights, writeModelFiles } from '../../checkpoint/save.node.ts';
import { RopewalkError } from '../../errors.ts';
import { type AtomicOptions, writeDirectoryAtomic, writeFileAtomic } from '../../files/atomic.node.ts';
import { FileSource } from '../../files/file.node.ts';
import { fileError } from '../../files/file-errors.ts';
import type { Learner } from '../learner.ts';
import type { OptimizerState } from '../optimizers/optimizer.ts';
import { optimizerTensors, readOptimizerTensors } from '../optimizers/optimizer-file.ts';
import { writeDirectoryTogether } from '../parallel/write-together.node.ts';
import type { Trainer, TrainerState } from '../trainer.ts';
import { type ModelIdentity, modelToSave } from './model-to-save.node.ts';
import { type Sharing, sharedOptimizer, sharedWeights } from './sharing.node.ts';

const OPTIMIZER_FILE = 'optimizer.safetensors';
const TRAINER_FILE = 'trainer.json';

const count = z.int().min(0);

const loss = z.number();

/** trainer.json */
const storedTrainer = z.object({
  step: count,
  tokens: count,
  sampler: z.record(z.string(), z.unknown()),
  optimizerSteps: z.record(z.string(), count),
  evaluations: z
    .object({
      last: z.number().int(),
      best: z.object({ step: count, loss, score: loss.optional() }).nullable(),
      since: count,
      base: loss.nullable().default(null),
      baseScore: loss.optional(),
    })
    .default({ last: -1, best: null, since: 0, base: null }),
  guard: z.object({ losses: z.array(loss), skipped: count }).optional(),
  lossScale: z.object({ factor: z.number().positive(), good: count, skipped: count }).optional(),
});
type StoredTrainer = z.infer<typeof storedTrainer>;

/**
 * Writes a checkpoint: a model directory, the optimizer's state, and the data position. It appears complete or not at
 * all.
 */
export async function writeCheckpoint(
  path: string,
  learner: Learner,
  identity: ModelIdentity,
  state: TrainerState,
  sharing?: Sharing,
  options: AtomicOptions = {},
): Promise<void> {
  if (sharing) {
    const { steps, file } = await sharedOptimizer(OPTIMIZER_FILE, state.optimizer, sharing);
    const files = [...(await sharedWeights(learner, identity, sharing)), file];
    const fill = async (directory: string) => {
      await writeFilesBesideWeights(directory, await modelToSave(learner, identity));
      await writeFileAtomic(join(directory, TRAINER_FILE), JSON.stringify(trainerToSave(state, steps)));
    };
    await writeDirectoryTogether(sharing.ranks, path, files, fill, options);
    return;
  }
  const trainer = trainerToSave(state, state.optimizer.steps);
  await writeDirectoryAtomic(
    path,
    async (directory) => {
      await writeModelFiles(directory, await modelToSave(learner, identity));
      await writeFileAtomic(join(directory, OPTIMIZER_FILE), async (sink) => {
        await writeSafetensors(sink, optimizerTensors(state.optimizer));
      });
      await writeFileAtomic(join(directory, TRAINER_FILE), JSON.stringify(trainer));
    },
    options,
  );
}

function trainerToSave(state: TrainerState, optimizerSteps: OptimizerState['steps']): StoredTrainer {
  return {
    step: state.step,
    tokens: state.tokens,
    sampler: state.sampler as Record<string, unknown>,
    optimizerSteps,
    evaluations: state.evaluations,
    ...(state.guard && { guard: { ...state.guard, losses: [...state.guard.losses] } }),
    ...(state.lossScale && { lossScale: state.lossScale }),
  };
}

/** Reads a checkpoint's weights into the learner, and its state into the trainer. */
export async function readCheckpoint(
  path: string,
  learner: Learner,
  trainer: Trainer,
): Promise<TrainerState> {
  await readModelInto(path, learner);
  const parsed = storedTrainer.safeParse(await readJson(join(path, TRAINER_FILE)));
  if (!parsed.success) {
    const { path: field, message } = parsed.error.issues[0]!;
    throw new RopewalkError(
      `${join(path, TRAINER_FILE)}: the field "${field.join('.')}" is damaged: ${message}.`,
    );
  }
  const { step, tokens, sampler, optimizerSteps, evaluations, guard, lossScale } = parsed.data;
  const source = await FileSource.open(join(path, OPTIMIZER_FILE));
  try {
    const tensors = await readOptimizerTensors(await openSafetensors(source), trainer.state().optimizer);
    const optimizer = { steps: optimizerSteps, tensors };
    const state = {
      ...{ step, tokens, sampler, optimizer, evaluations },
      ...(guard && { guard }),
      ...(lossScale && { lossScale }),
    };
    trainer.restore(state);
    return state;
  } finally {
    await source.close();
  }
}

/** Reads a model directory's weights into a learner of the same model. */
export async function readModelInto(path: string, learner: Learner): Promise<void> {
  const opened = await openModel(path);
  try {
    const { slices } = learner;
    const startOf = slices && ((path: string) => slices.rangeOf(path).start);
    await learner.fill((values) => readWeights(opened, values, startOf));
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

/** @throws RopewalkError naming the file. */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) throw new RopewalkError(`${path} is not valid JSON: ${error.message}.`);
    throw fileError(error, 'read', path);
  }
}
