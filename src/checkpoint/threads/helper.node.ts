import { Worker } from 'node:worker_threads';
import { kernelModule } from '../../kernels/kernel-module.ts';
import { type RowTarget, type RowTask, rowShare } from './share.ts';

/** The program of a helper thread: `rowShare` for every task that it is sent. */
const PROGRAM = `
const { parentPort, workerData } = require('node:worker_threads');
const take = (${rowShare})(require('node:fs'), workerData.kernels);
parentPort.on('message', ({ task, target, thread }) => {
  try { take(task, target, thread); } catch {}
  parentPort.postMessage(0);
});
`;

/** A thread that takes batches of a task. */
export class Helper {
  readonly #worker: Worker | undefined;
  isAlive = true;
  #done: () => void = () => {};

  constructor() {
    try {
      this.#worker = new Worker(PROGRAM, {
        eval: true,
        // Without the caller's: a loader of modules would be started once more.
        execArgv: [],
        workerData: { kernels: kernelModule() },
      });
    } catch {
      // No more threads: the caller does all of the work.
      this.isAlive = false;
      return;
    }
    this.#worker.on('message', () => this.#done());
    for (const event of ['error', 'exit']) {
      this.#worker.on(event, () => {
        this.isAlive = false;
        this.#done();
      });
    }
    this.#worker.unref();
  }

  /**
   * Resolves when the thread has no more to do, or has ended. What it finished is marked in the task.
   *
   * @param target arrays on shared memory
   */
  work(task: RowTask, target: RowTarget, thread: number): Promise<void> {
    return new Promise((resolve) => {
      this.#worker!.ref();
      this.#done = () => {
        this.#worker!.unref();
        resolve();
      };
      this.#worker!.postMessage({ task, target, thread });
    });
  }

  end(): void {
    this.isAlive = false;
    void this.#worker?.terminate();
  }
}
