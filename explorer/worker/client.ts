import type { ModelsApi, Reply, Request } from './protocol.ts';

/** A call that a newer one of the same key has replaced before it began. */
export class Superseded extends Error {}

/** An error that the reader can do something about. */
export class ReadableError extends Error {}

interface Waiting {
  readonly request: Request;
  readonly key: string | undefined;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** The thread that runs the models, seen from the page: one call at a time, so that what is out of date never runs. */
export class ModelsClient {
  readonly #worker: Worker;
  #queue: Waiting[] = [];
  #running: Waiting | undefined;
  #calls = 0;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#settle(data);
    worker.onerror = (event) => {
      const running = this.#running;
      this.#running = undefined;
      running?.reject(new Error(event.message));
      this.#next();
    };
  }

  /** @param key where given, calls of the same key that have not begun are dropped. */
  call<M extends keyof ModelsApi>(
    method: M,
    argument: Parameters<ModelsApi[M]>[0],
    key?: string,
  ): Promise<ReturnType<ModelsApi[M]>> {
    return new Promise<unknown>((resolve, reject) => {
      if (key !== undefined) {
        for (const waiting of this.#queue) if (waiting.key === key) waiting.reject(new Superseded());
        this.#queue = this.#queue.filter((waiting) => waiting.key !== key);
      }
      const request = { call: ++this.#calls, method, argument };
      this.#queue.push({ request, key, resolve, reject });
      this.#next();
    }) as Promise<ReturnType<ModelsApi[M]>>;
  }

  #next(): void {
    if (this.#running) return;
    this.#running = this.#queue.shift();
    if (this.#running) this.#worker.postMessage(this.#running.request);
  }

  #settle(reply: Reply): void {
    const running = this.#running;
    if (running?.request.call !== reply.call) return;
    this.#running = undefined;
    if ('error' in reply) {
      running.reject(reply.expected ? new ReadableError(reply.error) : new Error(reply.error));
    } else running.resolve(reply.result);
    this.#next();
  }
}

/** Starts the thread. */
export function startModels(): ModelsClient {
  const worker = new Worker(new URL('./models-worker.ts', import.meta.url), { type: 'module' });
  return new ModelsClient(worker);
}
