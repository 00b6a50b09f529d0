import type { Failure, FailureKind } from './failure.ts';
import type { GivenFile, ModelInfo, ModelsApi, Reply, Request } from './protocol.ts';

/** A call that a newer one of the same key has replaced before it began. */
export class Superseded extends Error {}

/** An error of the thread. */
export class ThreadError extends Error {
  readonly kind: FailureKind;

  constructor({ message, kind }: Failure) {
    super(message);
    this.kind = kind;
  }
}

interface Waiting {
  readonly request: Request;
  readonly key: string | undefined;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** The thread that runs the models, seen from the page: one call at a time, so that what is out of date never runs. */
export class ModelsClient {
  readonly #start: () => Worker;
  #worker: Worker;
  #queue: Waiting[] = [];
  #running: Waiting | undefined;
  #calls = 0;
  #models = 0;
  /** The files of models that the reader gave, for a thread that begins anew. */
  readonly #given = new Map<string, readonly GivenFile[]>();

  constructor(start: () => Worker) {
    this.#start = start;
    this.#worker = this.#begin();
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

  /** Opens a model of files that the reader gave. */
  async openGiven(files: readonly GivenFile[]): Promise<ModelInfo> {
    const id = `given-${++this.#models}`;
    const info = await this.call('openFiles', { id, files });
    this.#given.set(id, files);
    return info;
  }

  #begin(): Worker {
    const worker = this.#start();
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#settle(data);
    worker.onerror = (event) => this.#fail({ message: event.message, kind: 'memory' });
    for (const [id, files] of this.#given) {
      worker.postMessage({ call: 0, method: 'remember', argument: { id, files } });
    }
    return worker;
  }

  #next(): void {
    if (this.#running) return;
    this.#running = this.#queue.shift();
    if (this.#running) this.#worker.postMessage(this.#running.request);
  }

  #settle(reply: Reply): void {
    const running = this.#running;
    if (running?.request.call !== reply.call) return;
    if ('error' in reply) this.#fail(reply.error);
    else {
      this.#running = undefined;
      running.resolve(reply.result);
      this.#next();
    }
  }

  #fail(failure: Failure): void {
    const running = this.#running;
    this.#running = undefined;
    if (failure.kind === 'memory') {
      // Its memory is given back, and an engine that has stopped is replaced.
      this.#worker.terminate();
      this.#worker = this.#begin();
    }
    running?.reject(new ThreadError(failure));
    this.#next();
  }
}

/** Starts the thread. */
export function startModels(): ModelsClient {
  return new ModelsClient(
    () => new Worker(new URL('./models-worker.ts', import.meta.url), { type: 'module' }),
  );
}
