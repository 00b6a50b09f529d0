import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { option, RopewalkError, said } from '../errors.ts';
import { fileError } from '../files/file-errors.ts';
import type { ModelAnswer, ModelRequest } from './model/requests.ts';

const FORM = 'ropewalk-answers-1';

/** A request's contents as its key: an answer serves every task with the same request. */
export function requestKey(request: ModelRequest): string {
  return createHash('sha256').update(JSON.stringify(request)).digest('base64url').slice(0, 27);
}

/**
 * The answers of a model, each appended to a file as soon as it is known, so that a killed evaluation resumes there.
 * An incomplete line is dropped.
 */
export class AnswerJournal {
  readonly #file: FileHandle;
  readonly answers: ReadonlyMap<string, ModelAnswer>;

  private constructor(file: FileHandle, answers: ReadonlyMap<string, ModelAnswer>) {
    this.#file = file;
    this.answers = answers;
  }

  /**
   * @param probe identifies the model.
   * @throws RopewalkError naming the file, if it has the answers of another model or is another kind of file.
   */
  static async open(path: string, probe: string): Promise<AnswerJournal> {
    await mkdir(dirname(path), { recursive: true });
    const before = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw fileError(error, 'read', path);
    });
    const whole = before.slice(0, before.lastIndexOf('\n') + 1);
    const [head, ...lines] = whole.split('\n').slice(0, -1);
    const answers = new Map<string, ModelAnswer>();
    if (head !== undefined) {
      const { form, probe: known } = parsed(head, path) as { form?: unknown; probe?: unknown };
      if (form !== FORM)
        throw new RopewalkError(
          said`${path}: it is not a file of answers; choose another folder (${option('out')})`,
        );
      if (known !== probe) {
        throw new RopewalkError(
          said`${path}: it has the answers of another model, or of this model with other weights or precision; choose another folder (${option('out')}), or remove the file`,
        );
      }
      for (const line of lines) {
        const { key, answer } = parsed(line, path) as { key?: unknown; answer?: unknown };
        if (typeof key !== 'string' || answer === undefined) {
          throw damaged(path);
        }
        answers.set(key, answer as ModelAnswer);
      }
    }
    const file = await open(path, 'a');
    await file.truncate(Buffer.byteLength(whole));
    if (head === undefined) await file.appendFile(`${JSON.stringify({ form: FORM, probe })}\n`);
    return new AnswerJournal(file, answers);
  }

  async add(key: string, answer: ModelAnswer): Promise<void> {
    await this.#file.appendFile(`${JSON.stringify({ key, answer })}\n`);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

function parsed(line: string, path: string): object {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Reported below.
  }
  throw damaged(path);
}

function damaged(path: string): RopewalkError {
  return new RopewalkError(
    said`${path}: a line of it is damaged; remove the file, or choose another folder (${option('out')})`,
  );
}
