import type { LanguageModel } from '../language-model.ts';
import { type CallName, packError, type Reply, type Request, type StreamName } from './model-protocol.ts';

/** How the thread of a model communicates with its proxy. */
export interface ServerPort {
  post(reply: Reply, transfer?: readonly ArrayBuffer[]): void;
  /** Ends the thread once nothing runs in it. */
  close(): void;
}

type Open = (idOrPath: string, options: object) => Promise<LanguageModel>;

/** How many pieces may be produced before the consumer asks for more. */
class Credit {
  #wake = () => {};

  #left: number;

  constructor(left: number) {
    this.#left = left;
  }

  add(count: number): void {
    this.#left += count;
    this.#wake();
  }

  /** Waits for credit, until {@link add} wakes it, or the signal is aborted and {@link add} is called. */
  async take(signal: AbortSignal): Promise<void> {
    while (this.#left === 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    signal.throwIfAborted();
    this.#left--;
  }
}

/** Answers the requests of one proxy with the model that its first request loads. */
export class ModelServer {
  #model: LanguageModel | undefined;
  readonly #running = new Map<number, { readonly controller: AbortController; readonly credit?: Credit }>();
  readonly #settling = new Set<Promise<void>>();

  readonly #port: ServerPort;
  readonly #open: Open;

  /** @param open performs `load` in this thread. */
  constructor(port: ServerPort, open: Open) {
    this.#port = port;
    this.#open = open;
  }

  receive(request: Request): void {
    if (request.type === 'credit') this.#running.get(request.id)?.credit?.add(request.count);
    else if (request.type === 'cancel') this.#cancel(request.id);
    else if (request.type === 'release') void this.#release();
    else {
      const work = request.type === 'call' ? this.#answer(request) : this.#stream(request);
      this.#settling.add(work);
      void work.finally(() => this.#settling.delete(work));
    }
  }

  #cancel(id: number): void {
    const running = this.#running.get(id);
    running?.controller.abort();
    running?.credit?.add(0);
  }

  async #answer({ id, method, subject, options, events }: Request & { type: 'call' }): Promise<void> {
    const controller = new AbortController();
    this.#running.set(id, { controller });
    const { signal } = controller;
    const listeners = events.map((name) => {
      return [name, (value: unknown) => this.#port.post({ type: 'event', id, name, value })];
    });
    try {
      const value = await this.#call(method, subject, {
        ...options,
        ...Object.fromEntries(listeners),
        signal,
      });
      const transfer = value instanceof Float32Array ? [value.buffer as ArrayBuffer] : [];
      this.#port.post({ type: 'done', id, value }, transfer);
    } catch (error) {
      this.#port.post({ type: 'failed', id, error: packError(error) });
    } finally {
      this.#running.delete(id);
    }
  }

  async #call(method: CallName, subject: unknown, options: object): Promise<unknown> {
    if (method === 'load') {
      const model = await this.#open(subject as string, options);
      this.#model = model;
      const { family, config, maxPositions, stopTokens, sampling, warnings, batching } = model;
      return { family: family.name, config, maxPositions, stopTokens, sampling, warnings, batching };
    }
    const model = this.#model!;
    const methods: Record<Exclude<CallName, 'load'>, () => Promise<unknown>> = {
      encode: () => model.encode(subject as string, options),
      decode: () => model.decode(subject as number[], options),
      score: () => model.score(subject as string | number[], options),
      logits: () => model.logits(subject as number[], options),
      run: () => model.run(subject as number[], options),
    };
    return methods[method]();
  }

  async #stream({
    id,
    method,
    subject,
    options,
    credit: count,
  }: Request & { type: 'stream' }): Promise<void> {
    const controller = new AbortController();
    const credit = new Credit(count);
    this.#running.set(id, { controller, credit });
    const { signal } = controller;
    const items = this.#items(method, subject, { ...options, signal });
    try {
      for (;;) {
        await credit.take(signal);
        const { done, value } = await items.next();
        this.#port.post({ type: done ? 'done' : 'item', id, value });
        if (done) return;
      }
    } catch (error) {
      this.#port.post({ type: 'failed', id, error: packError(error) });
    } finally {
      this.#running.delete(id);
      await items.return(undefined);
    }
  }

  #items(method: StreamName, subject: unknown, options: object): AsyncGenerator<unknown, unknown> {
    const model = this.#model!;
    const methods: Record<StreamName, () => AsyncGenerator<unknown, unknown>> = {
      generate: () => model.generate(subject as string, options as Parameters<typeof model.generate>[1]),
      generateTokens: () =>
        model.generateTokens(subject as number[], options as Parameters<typeof model.generateTokens>[1]),
      complete: () => model.complete(subject as Parameters<typeof model.complete>[0], options),
      chat: () => model.chat(subject as Parameters<typeof model.chat>[0], options),
    };
    return methods[method]();
  }

  async #release(): Promise<void> {
    for (const id of this.#running.keys()) this.#cancel(id);
    await Promise.allSettled(this.#settling);
    await this.#model?.release();
    this.#port.close();
  }
}
