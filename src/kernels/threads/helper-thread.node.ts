import { Worker } from 'node:worker_threads';

/** A thread that runs a program for every message that it gets. It keeps no process alive while nobody waits for it. */
export class HelperThread {
  readonly #worker: Worker | undefined;
  #done: () => void = () => {};
  /** False if the thread could not be started, or has ended. */
  isAlive = true;

  /** @param program CommonJS source. */
  constructor(program: string, workerData: unknown) {
    try {
      this.#worker = new Worker(program, {
        eval: true,
        // Without the caller's: a loader of modules would be started once more.
        execArgv: [],
        workerData,
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

  post(message: unknown): void {
    if (this.isAlive) this.#worker!.postMessage(message);
  }

  /** Posts a message, and resolves when the program answers it, or the thread has ended. */
  answer(message: unknown): Promise<void> {
    if (!this.isAlive) return Promise.resolve();
    return new Promise((resolve) => {
      this.#worker!.ref();
      this.#done = () => {
        this.#worker!.unref();
        resolve();
      };
      this.post(message);
    });
  }

  end(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    void this.#worker!.terminate();
  }
}
