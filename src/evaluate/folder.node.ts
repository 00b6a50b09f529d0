import { join } from 'node:path';
import { writeFileAtomic } from '../files/atomic.node.ts';
import type { AnswerStore, Evaluation } from './evaluate.ts';
import { AnswerJournal, requestKey } from './journal.node.ts';
import type { AnsweringModel } from './model/answering-model.ts';

const ANSWERS_FILE = 'answers.jsonl';
const RESULTS_FILE = 'results.json';

/**
 * The folder of a model's evaluation: its answers while it runs, then a file of items for each task, and the results.
 */
export class EvaluationFolder {
  readonly #journal: AnswerJournal;
  readonly store: AnswerStore;

  private constructor(
    readonly path: string,
    journal: AnswerJournal,
  ) {
    this.#journal = journal;
    const { answers } = journal;
    this.store = {
      get: (request) => answers.get(requestKey(request)),
      put: (request, answer) => journal.add(requestKey(request), answer),
    };
  }

  /** @throws RopewalkError if the folder has the answers of another model. */
  static async open(path: string, model: AnsweringModel): Promise<EvaluationFolder> {
    return new EvaluationFolder(
      path,
      await AnswerJournal.open(join(path, ANSWERS_FILE), await model.probe()),
    );
  }

  /** The number of answers from an earlier run. */
  get found(): number {
    return this.#journal.answers.size;
  }

  /** Writes the items and the results. */
  async write({ result, tasks }: Evaluation): Promise<void> {
    for (const { result: task, items } of tasks) {
      const lines = items.map((item) => `${JSON.stringify(item, plainly)}\n`);
      await writeFileAtomic(join(this.path, `${fileName(task.task)}.jsonl`), lines.join(''));
    }
    await writeFileAtomic(join(this.path, RESULTS_FILE), `${JSON.stringify(result, null, 2)}\n`);
  }

  close(): Promise<void> {
    return this.#journal.close();
  }
}

/** Numbers that JSON does not have become texts. */
function plainly(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

/** A task's name as a file name: characters that file systems refuse become hyphens. */
function fileName(task: string): string {
  const name = task.replaceAll(/[^\p{L}\p{N}._+-]+/gu, '-').replace(/^\.+/, '-');
  return ['answers', 'results', 'comparison'].includes(name) ? `task-${name}` : name;
}
