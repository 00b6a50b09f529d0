import { constants, existsSync } from 'node:fs';
import { access, appendFile, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { FloatDtype } from '../../checkpoint/safetensors/writer.ts';
import { writeFilesBesideWeights, writeModelFiles } from '../../checkpoint/save.node.ts';
import { option as named, RopewalkError, said } from '../../errors.ts';
import {
  type AtomicOptions,
  recoverDirectory,
  removeDirectory,
  writeDirectoryAtomic,
  writeFileAtomic,
} from '../../files/atomic.node.ts';
import { fileError } from '../../files/file-errors.ts';
import type { Learner } from '../learner.ts';
import { writeDirectoryTogether, writeFilesTogether } from '../parallel/write-together.node.ts';
import type { Trainer, TrainerState } from '../trainer.ts';
import { readCheckpoint, readJson, readModelInto, writeCheckpoint } from './checkpoint.node.ts';
import { type ModelIdentity, modelToSave } from './model-to-save.node.ts';
import type { RunRecord } from './record.ts';
import { type Sharing, sharedWeights } from './sharing.node.ts';

export type { ModelIdentity, RunRecord };

/** A line of metrics.jsonl: an event at a step. */
export interface LoggedEvent {
  readonly type: string;
  readonly step: number;
}

const RUN_FILE = 'run.json';
const METRICS_FILE = 'metrics.jsonl';
const BEST_FOLDER = 'best';
/** Stored with the best weights: their step. */
const STEP_FILE = 'step.json';
/** Events that are repeated at the last step when a finished run is resumed. */
const REPEATED: readonly string[] = ['evaluation', 'samples', 'tasks', 'stopped', 'finished'];

/**
 * A training run on disk:
 *
 *     run.json          the settings it was started with
 *     metrics.jsonl     one event per line
 *     best/             the model with the lowest held-out loss so far, and its step
 *     checkpoints/step-00000100/    a model directory, the optimizer's state and the data position
 *     config.json, model.safetensors, tokenizer.json …    the finished model
 *
 * Checkpoints appear complete or not at all, so that a run killed at any moment resumes from the newest one.
 */
export class RunDirectory {
  private constructor(
    readonly path: string,
    /** What the run was started with, as stored in the file. */
    readonly record: RunRecord,
    /** Processes that train together. All of them write weights and optimizer states; the first one writes the rest. */
    readonly sharing: Sharing | undefined,
  ) {}

  /** Whether this process writes what only one does. */
  get isWritten(): boolean {
    return this.sharing?.ranks.isFirst ?? true;
  }

  /** Whether there is a run in a folder. */
  static exists(path: string): boolean {
    return existsSync(join(path, RUN_FILE));
  }

  /**
   * @throws RopewalkError if a run cannot be started there: the folder holds a run or a model, or cannot be written.
   */
  static async checkFree(path: string): Promise<void> {
    if (RunDirectory.exists(path)) {
      throw new RopewalkError(
        said`${path} already holds a run. Continue it with ${named('resume', 'must')}, or name another folder.`,
      );
    }
    if (existsSync(join(path, 'config.json'))) {
      throw new RopewalkError(`${path} already holds a model; name another folder.`);
    }
    // The existing part of the path must allow a new folder.
    let place = resolve(path);
    while (!existsSync(place) && dirname(place) !== place) place = dirname(place);
    try {
      if (!(await stat(place)).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
      await access(place, constants.W_OK);
    } catch (error) {
      throw fileError(error, 'write', path);
    }
  }

  /** @throws RopewalkError if there is already a run or the folder cannot be written. */
  static async create(path: string, record: RunRecord, sharing?: Sharing): Promise<RunDirectory> {
    const run = new RunDirectory(path, record, sharing);
    if (!run.isWritten) return run;
    await RunDirectory.checkFree(path);
    try {
      await mkdir(join(path, 'checkpoints'), { recursive: true });
    } catch (error) {
      throw fileError(error, 'write', path);
    }
    await run.rewrite(record);
    return run;
  }

  /** Replaces the record of the run. */
  async rewrite(record: RunRecord): Promise<void> {
    if (!this.isWritten) return;
    await writeFileAtomic(join(this.path, RUN_FILE), `${JSON.stringify(record, null, 2)}\n`);
  }

  /** Opens the run in a folder. @throws RopewalkError if there is none, or its record cannot be read. */
  static async open(path: string, sharing?: Sharing): Promise<RunDirectory> {
    const file = join(path, RUN_FILE);
    if (!existsSync(file)) {
      throw new RopewalkError(
        `${path} holds no run to resume (there is no ${RUN_FILE}); name the folder of a run, or start a new one there.`,
      );
    }
    return new RunDirectory(path, (await readJson(file)) as RunRecord, sharing);
  }

  /** Appends an event to metrics.jsonl. */
  async log(event: LoggedEvent): Promise<void> {
    if (event.type === 'checkpoint' || !this.isWritten) return;
    try {
      await appendFile(join(this.path, METRICS_FILE), `${JSON.stringify(event)}\n`);
    } catch (error) {
      throw fileError(error, 'write', join(this.path, METRICS_FILE));
    }
  }

  /** The events so far, without a last line that was cut off when the process was killed. */
  async metrics<E extends LoggedEvent = LoggedEvent>(): Promise<E[]> {
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
    await writeCheckpoint(path, learner, identity, state, this.sharing, options);
    if (!this.isWritten) return path;
    const names = await this.checkpointNames();
    for (const old of names.slice(0, Math.max(0, names.length - Math.max(1, keep)))) {
      await removeDirectory(join(this.path, 'checkpoints', old));
    }
    return path;
  }

  /** Writes the finished model to the run's folder. */
  async finish(learner: Learner, identity: ModelIdentity, dtype: FloatDtype = 'F32'): Promise<void> {
    const model = { ...(await modelToSave(learner, identity)), dtype };
    if (!this.sharing) {
      await writeModelFiles(this.path, model);
      return;
    }
    if (this.isWritten) await writeFilesBesideWeights(this.path, model);
    const { ranks } = this.sharing;
    await writeFilesTogether(ranks, this.path, await sharedWeights(learner, identity, this.sharing, dtype));
  }

  /** Saves the current weights as the best so far, replacing the previous ones. */
  async saveBest(learner: Learner, identity: ModelIdentity, step: number): Promise<void> {
    const path = join(this.path, BEST_FOLDER);
    const model = await modelToSave(learner, identity);
    const writeStep = (directory: string) =>
      writeFileAtomic(join(directory, STEP_FILE), JSON.stringify({ step }));
    if (this.sharing) {
      const files = await sharedWeights(learner, identity, this.sharing);
      await writeDirectoryTogether(this.sharing.ranks, path, files, async (directory) => {
        await writeFilesBesideWeights(directory, model);
        await writeStep(directory);
      });
      return;
    }
    await writeDirectoryAtomic(path, async (directory) => {
      await writeModelFiles(directory, model);
      await writeStep(directory);
    });
  }

  /** Whether there are best weights. */
  get keepsBest(): boolean {
    return existsSync(join(this.path, BEST_FOLDER));
  }

  /** The step of the best weights; undefined if there are none, or their step was not recorded. */
  async bestStep(): Promise<number | undefined> {
    const path = join(this.path, BEST_FOLDER);
    await this.#recover(path);
    if (!existsSync(join(path, STEP_FILE))) return undefined;
    const { step } = (await readJson(join(path, STEP_FILE))) as { step?: unknown };
    return typeof step === 'number' ? step : undefined;
  }

  /** Reads the best weights into a learner. */
  async readBest(learner: Learner): Promise<void> {
    const path = join(this.path, BEST_FOLDER);
    await this.#recover(path);
    await readModelInto(path, learner);
  }

  /**
   * Reads the newest checkpoint into a learner and its trainer, and truncates the metrics to it. Nothing is read if
   * the run was stopped before its first checkpoint.
   *
   * @returns the run's current step.
   * @throws RopewalkError naming the checkpoint, what is wrong with it and the remedy.
   */
  async restore(learner: Learner, trainer: Trainer): Promise<number> {
    const names = await this.checkpointNames();
    const name = names.at(-1);
    if (name === undefined) {
      if (this.isWritten) await writeFileAtomic(join(this.path, METRICS_FILE), '');
      return 0;
    }
    const path = join(this.path, 'checkpoints', name);
    const { step } = await readCheckpoint(path, learner, trainer).catch((error: unknown) => {
      if (!(error instanceof RopewalkError)) throw error;
      const before = names.at(-2);
      const remedy = before ? `resume from ${before}` : 'start over from step 0';
      throw new RopewalkError(
        `the newest checkpoint, ${path}, cannot be resumed: ${error.message.replace(/\.$/, '')}. To ${remedy}, remove that folder and resume.`,
        { cause: error },
      );
    });
    if (this.isWritten) await this.#cutMetrics(step, trainer.finished);
    return step;
  }

  /** Complete checkpoints, oldest first; cleans up after an interruption. */
  async checkpointNames(): Promise<string[]> {
    const folder = join(this.path, 'checkpoints');
    if (!existsSync(folder)) return [];
    const targets = new Set(
      (await readdir(folder)).map((name) => /step-\d+/.exec(name)?.[0]).filter((name) => !!name),
    );
    for (const name of targets) await this.#recover(join(folder, name!));
    return (await readdir(folder)).filter((name) => /^step-\d+$/.test(name)).sort();
  }

  /** Finishes what an interruption left of a folder. */
  async #recover(path: string): Promise<void> {
    if (this.isWritten) await recoverDirectory(path);
  }

  /** @param finished the evaluation after the last step will be repeated. */
  async #cutMetrics(step: number, finished: boolean): Promise<void> {
    const again = (event: LoggedEvent) => finished && event.step === step && REPEATED.includes(event.type);
    const kept = (await this.metrics()).filter((event) => event.step <= step && !again(event));
    const text = kept.map((event) => `${JSON.stringify(event)}\n`).join('');
    await writeFileAtomic(join(this.path, METRICS_FILE), text);
  }
}

function checkpointName(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}
