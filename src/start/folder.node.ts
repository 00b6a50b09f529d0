import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { option, RopewalkError, said } from '../errors.ts';
import { writeFileAtomic } from '../files/atomic.node.ts';
import { fileError } from '../files/file-errors.ts';
import type { JobSettings } from './settings.ts';

const JOB_FILE = 'job.json';

/**
 * The main job's folder. Each part's result is a JSON file that appears complete or not at all, and finished parts are
 * not repeated, so the job resumes wherever it was stopped.
 */
export class JobFolder {
  private constructor(readonly path: string) {}

  /**
   * Opens the folder of this job, or creates it.
   *
   * @param fresh first removes the contents, but only of a folder that belongs to this job.
   * @throws RopewalkError if the folder contains something else, or a job with other settings.
   */
  static async open(path: string, settings: JobSettings, fresh: boolean): Promise<JobFolder> {
    const folder = new JobFolder(path);
    try {
      await mkdir(path, { recursive: true });
      if (!existsSync(folder.file(JOB_FILE)) && (await readdir(path)).some((name) => !name.startsWith('.'))) {
        throw new RopewalkError(
          said`${path} contains something other than this job; choose another folder (${option('out')}).`,
        );
      }
      if (fresh) await folder.#clear();
    } catch (error) {
      throw error instanceof RopewalkError ? error : fileError(error, 'write', path);
    }
    const stored = await folder.read<JobSettings>(JOB_FILE);
    if (stored === undefined) await folder.write(JOB_FILE, settings);
    else if (JSON.stringify(stored) !== JSON.stringify(settings)) {
      throw new RopewalkError(
        said`${path} was started with other settings. Resume with the same ones, start over with ${option('fresh', true)}, or choose another folder (${option('out')}).`,
      );
    }
    return folder;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** A part's result; undefined if the part is not finished. */
  async read<T>(name: string): Promise<T | undefined> {
    const file = this.file(name);
    if (!existsSync(file)) return undefined;
    try {
      return JSON.parse(await readFile(file, 'utf8')) as T;
    } catch (error) {
      if (error instanceof SyntaxError) {
        throw new RopewalkError(
          said`${file} is not valid JSON: ${error.message}. Start over with ${option('fresh', true)}.`,
        );
      }
      throw fileError(error, 'read', file);
    }
  }

  async write(name: string, value: unknown): Promise<void> {
    await writeFileAtomic(this.file(name), `${JSON.stringify(value, null, 2)}\n`);
  }

  /** job.json is removed last, so that an interrupted removal can be repeated. */
  async #clear(): Promise<void> {
    const names = await readdir(this.path);
    for (const name of names) {
      if (name !== JOB_FILE) await rm(this.file(name), { recursive: true, force: true });
    }
    await rm(this.file(JOB_FILE), { force: true });
  }
}
