import { constants, existsSync } from 'node:fs';
import { access, appendFile, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import {
  type AtomicOptions,
  recoverDirectory,
  removeDirectory,
  writeDirectoryAtomic,
  writeFileAtomic,
} from '../checkpoint/atomic.node.ts';
import { FileSource } from '../checkpoint/file.node.ts';
import { fileError } from '../checkpoint/file-errors.ts';
import { openModel, readWeights } from '../checkpoint/load.node.ts';
import { openSafetensors } from '../checkpoint/safetensors.ts';
import { writeSafetensors } from '../checkpoint/safetensors-writer.ts';
import { writeModelFiles } from '../checkpoint/save.node.ts';
import { RopewalkError } from '../errors.ts';
import type { CommonConfig } from '../families/config.ts';
import type { Family } from '../families/family.ts';
import type { BatchSamplerState } from '../text/batches.ts';
import type { TrainingSession } from './session.ts';
import type { TrainEvent, Trainer, TrainerState } from './trainer.ts';

/** What a run was started with; a resumed run must be the same. Plain JSON. */
export type RunRecord = Readonly<Record<string, unknown>>;

/** What the model is saved with: its family and config, and the tokenizer's files. */
export interface ModelIdentity {
  readonly family: Family;
  readonly config: CommonConfig;
  readonly files: readonly { readonly name: string; readonly data: string }[];
}

const RUN_FILE = 'run.json';
const METRICS_FILE = 'metrics.jsonl';
const OPTIMIZER_FILE = 'optimizer.safetensors';
const TRAINER_FILE = 'trainer.json';

const count = z.int().min(0);

/** trainer.json */
const storedTrainer = z.object({
  step: count,
  tokens: count,
  sampler: z.object({
    epoch: count,
    position: count,
    random: z.array(count),
    tokens: count,
    seq: count,
  }) satisfies z.ZodType<BatchSamplerState>,
  optimizerSteps: z.record(z.string(), count),
});
type StoredTrainer = z.infer<typeof storedTrainer>;

/**
 * A training run on disk:
 *
 *     run.json          what it was started with
 *     metrics.jsonl     one event a line
 *     checkpoints/step-00000100/    a model directory, and what the optimiser and the data position were
 *     config.json, model.safetensors, tokenizer.json …    the finished model
 *
 * Checkpoints appear whole or not at all, so that a run killed at any moment resumes from the newest one.
 */
export class RunDirectory {
  private constructor(
    readonly path: string,
    readonly record: RunRecord,
  ) {}

  /** Whether a run was started here. */
  static exists(path: string): boolean {
    return existsSync(join(path, RUN_FILE));
  }

  /** @throws RopewalkError when a run cannot begin there: the folder holds a run or a model, or cannot be written. */
  static async checkFree(path: string): Promise<void> {
    if (RunDirectory.exists(path)) {
      throw new RopewalkError(
        `${path} already holds a run. Go on with --resume, or name another folder with --out.`,
      );
    }
    if (existsSync(join(path, 'config.json'))) {
      throw new RopewalkError(`${path} already holds a model; name another folder with --out.`);
    }
    // What is there of the path must take a new folder.
    let place = resolve(path);
    while (!existsSync(place) && dirname(place) !== place) place = dirname(place);
    try {
      if (!(await stat(place)).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
      await access(place, constants.W_OK);
    } catch (error) {
      throw fileError(error, 'write', path);
    }
  }

  /** @throws RopewalkError when there is a run already or the folder cannot be written. */
  static async create(path: string, record: RunRecord): Promise<RunDirectory> {
    await RunDirectory.checkFree(path);
    try {
      await mkdir(join(path, 'checkpoints'), { recursive: true });
    } catch (error) {
      throw fileError(error, 'write', path);
    }
    await writeFileAtomic(join(path, RUN_FILE), `${JSON.stringify(record, null, 2)}\n`);
    return new RunDirectory(path, record);
  }

  static async open(path: string): Promise<RunDirectory> {
    const file = join(path, RUN_FILE);
    if (!existsSync(file)) {
      throw new RopewalkError(
        `${path} holds no run to resume (there is no ${RUN_FILE}); start one without --resume.`,
      );
    }
    return new RunDirectory(path, (await readJson(file)) as RunRecord);
  }

  /** Adds an event to metrics.jsonl. */
  async log(event: TrainEvent): Promise<void> {
    if (event.type === 'checkpoint') return;
    try {
      await appendFile(join(this.path, METRICS_FILE), `${JSON.stringify(event)}\n`);
    } catch (error) {
      throw fileError(error, 'write', join(this.path, METRICS_FILE));
    }
  }

  /** The events so far. A last line that a kill cut off is left out. */
  async metrics(): Promise<TrainEvent[]> {
    const file = join(this.path, METRICS_FILE);
    if (!existsSync(file)) return [];
    return (await readFile(file, 'utf8')).split('\n').flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line) as TrainEvent];
      } catch {
        return [];
      }
    });
  }

  /** Saves a checkpoint and removes all but the newest `keep`. */
  async save(
    session: TrainingSession,
    identity: ModelIdentity,
    state: TrainerState,
    keep: number,
    options: AtomicOptions = {},
  ): Promise<string> {
    const path = join(this.path, 'checkpoints', checkpointName(state.step));
    const trainer: StoredTrainer = {
      step: state.step,
      tokens: state.tokens,
      sampler: state.sampler,
      optimizerSteps: state.optimizer.steps,
    };
    await writeDirectoryAtomic(
      path,
      async (directory) => {
        await writeModelFiles(directory, modelToSave(session, identity));
        await writeFileAtomic(join(directory, OPTIMIZER_FILE), async (sink) => {
          const entries = [...state.optimizer.tensors].map(([name, tensor]) => ({
            name,
            dtype: 'F32' as const,
            ...tensor,
          }));
          await writeSafetensors(sink, entries, {});
        });
        await writeFileAtomic(join(directory, TRAINER_FILE), JSON.stringify(trainer));
      },
      options,
    );
    const names = await this.checkpointNames();
    for (const old of names.slice(0, Math.max(0, names.length - Math.max(1, keep)))) {
      await removeDirectory(join(this.path, 'checkpoints', old));
    }
    return path;
  }

  /** Puts the finished model into the run's own folder. */
  async finish(session: TrainingSession, identity: ModelIdentity): Promise<void> {
    await writeModelFiles(this.path, modelToSave(session, identity));
  }

  /**
   * Reads the newest checkpoint into a session and its trainer, and cuts the metrics back to it. Nothing is read when
   * the run was stopped before its first checkpoint.
   *
   * @returns the step that the run is at.
   * @throws RopewalkError naming the checkpoint, what is wrong with it and the remedy.
   */
  async restore(session: TrainingSession, trainer: Trainer): Promise<number> {
    const names = await this.checkpointNames();
    const name = names.at(-1);
    if (name === undefined) {
      await this.cutMetrics(0, false);
      return 0;
    }
    const path = join(this.path, 'checkpoints', name);
    const { step } = await readCheckpoint(path, session, trainer).catch((error: unknown) => {
      if (!(error instanceof RopewalkError)) throw error;
      const before = names.at(-2);
      const remedy = before ? `go on from ${before}` : 'begin again from step 0';
      throw new RopewalkError(
        `the newest checkpoint, ${path}, cannot be resumed: ${error.message.replace(/\.$/, '')}. To ${remedy}, remove that folder and resume.`,
        { cause: error },
      );
    });
    await this.cutMetrics(step, trainer.finished);
    return step;
  }

  /** Complete checkpoints, oldest first; finishes what an interruption left. */
  async checkpointNames(): Promise<string[]> {
    const folder = join(this.path, 'checkpoints');
    if (!existsSync(folder)) return [];
    const targets = new Set(
      (await readdir(folder)).map((name) => /step-\d+/.exec(name)?.[0]).filter((name) => !!name),
    );
    for (const name of targets) await recoverDirectory(join(folder, name!));
    return (await readdir(folder)).filter((name) => /^step-\d+$/.test(name)).sort();
  }

  /** @param finished the evaluation after the last step will be made again. */
  private async cutMetrics(step: number, finished: boolean): Promise<void> {
    const again = (event: TrainEvent) => finished && event.type === 'evaluation' && event.step === step;
    const kept = (await this.metrics()).filter((event) => event.step <= step && !again(event));
    const text = kept.map((event) => `${JSON.stringify(event)}\n`).join('');
    await writeFileAtomic(join(this.path, METRICS_FILE), text);
  }
}

/** Reads a checkpoint's weights into the session, and its state into the trainer. */
async function readCheckpoint(
  path: string,
  session: TrainingSession,
  trainer: Trainer,
): Promise<StoredTrainer> {
  const opened = await openModel(path);
  try {
    await readWeights(opened, session.values());
  } finally {
    await opened.checkpoint.tensors.close();
  }
  const parsed = storedTrainer.safeParse(await readJson(join(path, TRAINER_FILE)));
  if (!parsed.success) {
    const { path: field, message } = parsed.error.issues[0]!;
    throw new RopewalkError(
      `${join(path, TRAINER_FILE)}: the field "${field.join('.')}" is damaged: ${message}.`,
    );
  }
  const { step, tokens, sampler, optimizerSteps } = parsed.data;
  const source = await FileSource.open(join(path, OPTIMIZER_FILE));
  try {
    const file = await openSafetensors(source);
    const tensors = new Map<string, { data: Float32Array; shape: readonly number[] }>();
    for (const [tensor, { shape }] of file.tensors) {
      tensors.set(tensor, { data: await file.readFloat32(tensor), shape });
    }
    trainer.restore({ step, tokens, sampler, optimizer: { steps: optimizerSteps, tensors } });
  } finally {
    await source.close();
  }
  return parsed.data;
}

function checkpointName(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

function modelToSave(session: TrainingSession, { family, config, files }: ModelIdentity) {
  const tensors = session.trainables.map(({ name, shape, value }) => ({ name, shape, data: value }));
  const { bos_token_id, eos_token_id } = config;
  const generationConfig = {
    bos_token_id,
    eos_token_id: eos_token_id.length === 1 ? eos_token_id[0] : [...eos_token_id],
  };
  const hasStops = eos_token_id.length > 0;
  return { config: family.writeConfig(config), tensors, files, ...(hasStops && { generationConfig }) };
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) throw new RopewalkError(`${path} is not valid JSON: ${error.message}.`);
    throw fileError(error, 'read', path);
  }
}
