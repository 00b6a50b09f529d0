import { constants, existsSync } from 'node:fs';
import { access, appendFile, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { openModel, readWeights } from '../../checkpoint/load.node.ts';
import { openSafetensors } from '../../checkpoint/safetensors/safetensors-file.ts';
import { type FloatDtype, writeSafetensors } from '../../checkpoint/safetensors/writer.ts';
import { type ModelToSave, writeModelFiles } from '../../checkpoint/save.node.ts';
import { RopewalkError } from '../../errors.ts';
import type { CommonConfig } from '../../families/config.ts';
import type { Family } from '../../families/family.ts';
import {
  type AtomicOptions,
  recoverDirectory,
  removeDirectory,
  writeDirectoryAtomic,
  writeFileAtomic,
} from '../../files/atomic.node.ts';
import { FileSource } from '../../files/file.node.ts';
import { fileError } from '../../files/file-errors.ts';
import type { Learner } from '../learner.ts';
import { optimizerTensors, readOptimizerTensors } from '../optimizers/optimizer-file.ts';
import type { Trainer, TrainerState } from '../trainer.ts';
import type { RunRecord } from './run-record.ts';

export type { RunRecord };

/** What the model is saved with: its family and config, and the tokenizer's files. */
export interface ModelIdentity {
  readonly family: Family;
  readonly config: CommonConfig;
  readonly files: readonly { readonly name: string; readonly data: string | Uint8Array }[];
  /** Further fields of `config.json`; those of the family's config win. */
  readonly extraConfig?: Record<string, unknown>;
  /** For `generation_config.json`; by default what the config says of the tokens that begin and end a text. */
  readonly generationConfig?: Record<string, unknown>;
}

/** A line of metrics.jsonl: something that happened at a step. */
export interface RunEvent {
  readonly type: string;
  readonly step: number;
}

const RUN_FILE = 'run.json';
const METRICS_FILE = 'metrics.jsonl';
const OPTIMIZER_FILE = 'optimizer.safetensors';
const TRAINER_FILE = 'trainer.json';
const BEST_FOLDER = 'best';
/** What happens again at the last step when a finished run is gone on with. */
const REPEATED: readonly string[] = ['evaluation', 'samples', 'stopped', 'finished'];

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
      best: z.object({ step: count, loss }).nullable(),
      since: count,
      base: loss.nullable().default(null),
    })
    .default({ last: -1, best: null, since: 0, base: null }),
  guard: z.object({ losses: z.array(loss), skipped: count }).optional(),
});
type StoredTrainer = z.infer<typeof storedTrainer>;

/**
 * A training run on disk:
 *
 *     run.json          what it was started with
 *     metrics.jsonl     one event a line
 *     best/             the model of the lowest held-out loss, where it is kept
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

  /** Opens the run in a folder. @throws RopewalkError where there is none, or its record cannot be read. */
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
  async log(event: RunEvent): Promise<void> {
    if (event.type === 'checkpoint') return;
    try {
      await appendFile(join(this.path, METRICS_FILE), `${JSON.stringify(event)}\n`);
    } catch (error) {
      throw fileError(error, 'write', join(this.path, METRICS_FILE));
    }
  }

  /** The events so far. A last line that a kill cut off is left out. */
  async metrics<E extends RunEvent = RunEvent>(): Promise<E[]> {
    const file = join(this.path, METRICS_FILE);
    if (!existsSync(file)) return [];
    return (await readFile(file, 'utf8')).split('\n').flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line) as E];
      } catch {
        return [];
      }
    });
  }

  /** Saves a checkpoint and removes all but the newest `keep`. */
  async save(
    learner: Learner,
    identity: ModelIdentity,
    state: TrainerState,
    keep: number,
    options: AtomicOptions = {},
  ): Promise<string> {
    const path = join(this.path, 'checkpoints', checkpointName(state.step));
    const trainer: StoredTrainer = {
      step: state.step,
      tokens: state.tokens,
      sampler: state.sampler as Record<string, unknown>,
      optimizerSteps: state.optimizer.steps,
      evaluations: state.evaluations,
      ...(state.guard && { guard: { ...state.guard, losses: [...state.guard.losses] } }),
    };
    await writeDirectoryAtomic(
      path,
      async (directory) => {
        await writeModelFiles(directory, modelToSave(learner, identity));
        await writeFileAtomic(join(directory, OPTIMIZER_FILE), async (sink) => {
          await writeSafetensors(sink, optimizerTensors(state.optimizer));
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
  async finish(learner: Learner, identity: ModelIdentity, dtype: FloatDtype = 'F32'): Promise<void> {
    await writeModelFiles(this.path, { ...modelToSave(learner, identity), dtype });
  }

  /** Keeps the weights at hand as the best so far, in place of those before. */
  async saveBest(learner: Learner, identity: ModelIdentity): Promise<void> {
    await writeDirectoryAtomic(join(this.path, BEST_FOLDER), (directory) =>
      writeModelFiles(directory, modelToSave(learner, identity)),
    );
  }

  /** Reads the best weights into a learner. */
  async readBest(learner: Learner): Promise<void> {
    const path = join(this.path, BEST_FOLDER);
    await recoverDirectory(path);
    await readModelInto(path, learner);
  }

  /**
   * Reads the newest checkpoint into a learner and its trainer, and cuts the metrics back to it. Nothing is read when
   * the run was stopped before its first checkpoint.
   *
   * @returns the step that the run is at.
   * @throws RopewalkError naming the checkpoint, what is wrong with it and the remedy.
   */
  async restore(learner: Learner, trainer: Trainer): Promise<number> {
    const names = await this.checkpointNames();
    const name = names.at(-1);
    if (name === undefined) {
      await writeFileAtomic(join(this.path, METRICS_FILE), '');
      return 0;
    }
    const path = join(this.path, 'checkpoints', name);
    const { step } = await readCheckpoint(path, learner, trainer).catch((error: unknown) => {
      if (!(error instanceof RopewalkError)) throw error;
      const before = names.at(-2);
      const remedy = before ? `go on from ${before}` : 'begin again from step 0';
      throw new RopewalkError(
        `the newest checkpoint, ${path}, cannot be resumed: ${error.message.replace(/\.$/, '')}. To ${remedy}, remove that folder and resume.`,
        { cause: error },
      );
    });
    await this.#cutMetrics(step, trainer.finished);
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
  async #cutMetrics(step: number, finished: boolean): Promise<void> {
    const again = (event: RunEvent) => finished && event.step === step && REPEATED.includes(event.type);
    const kept = (await this.metrics()).filter((event) => event.step <= step && !again(event));
    const text = kept.map((event) => `${JSON.stringify(event)}\n`).join('');
    await writeFileAtomic(join(this.path, METRICS_FILE), text);
  }
}

/** Reads a checkpoint's weights into the learner, and its state into the trainer. */
async function readCheckpoint(path: string, learner: Learner, trainer: Trainer): Promise<StoredTrainer> {
  await readModelInto(path, learner);
  const parsed = storedTrainer.safeParse(await readJson(join(path, TRAINER_FILE)));
  if (!parsed.success) {
    const { path: field, message } = parsed.error.issues[0]!;
    throw new RopewalkError(
      `${join(path, TRAINER_FILE)}: the field "${field.join('.')}" is damaged: ${message}.`,
    );
  }
  const { step, tokens, sampler, optimizerSteps, evaluations, guard } = parsed.data;
  const source = await FileSource.open(join(path, OPTIMIZER_FILE));
  try {
    const tensors = await readOptimizerTensors(await openSafetensors(source), trainer.state().optimizer);
    const optimizer = { steps: optimizerSteps, tensors };
    trainer.restore({ step, tokens, sampler, optimizer, evaluations, ...(guard && { guard }) });
  } finally {
    await source.close();
  }
  return parsed.data;
}

async function readModelInto(path: string, learner: Learner): Promise<void> {
  const opened = await openModel(path);
  try {
    await readWeights(opened, learner.values());
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

function checkpointName(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

function modelToSave(learner: Learner, identity: ModelIdentity): ModelToSave {
  const { family, config, files, extraConfig, generationConfig = defaultGeneration(config) } = identity;
  const parameters = learner.model.parameters();
  const tensors = [...learner.values()].map(([name, data]) => {
    return { name, shape: parameters.get(name)!.shape, data };
  });
  return {
    config: { ...extraConfig, ...family.writeConfig(config) },
    tensors,
    files,
    ...(generationConfig && { generationConfig }),
  };
}

function defaultGeneration({ bos_token_id, eos_token_id }: CommonConfig) {
  if (eos_token_id.length === 0) return undefined;
  return { bos_token_id, eos_token_id: eos_token_id.length === 1 ? eos_token_id[0] : [...eos_token_id] };
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) throw new RopewalkError(`${path} is not valid JSON: ${error.message}.`);
    throw fileError(error, 'read', path);
  }
}
