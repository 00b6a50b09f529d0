import { onAbort } from '../../abort.ts';
import { RopewalkError } from '../../errors.ts';
import type { Abortable } from '../language-model.ts';
import { releasedError } from '../local-model.ts';
import { type CallName, type Reply, type Request, type StreamName, unpackError } from './model-protocol.ts';

/** The thread of a model, as its proxy sees it. */
export interface ModelPort {
  /** Throws if something cannot be cloned. */
  post(request: Request): void;
  /** @param onEnd called once, when the thread has ended, for any reason. */
  listen(onReply: (reply: Reply) => void, onEnd: (why: RopewalkError) => void): void;
  /** While a call is pending, the thread keeps the process alive. */
  ref(): void;
  unref(): void;
}

/** How many pieces a model may be ahead of the reader. */
export const AHEAD = 8;

interface Call {
  onReply(reply: Exclude<Reply, { type: 'event' }>): void;
  onEvent(name: string, value: unknown): void;
  /** Called when the caller stops waiting. */
  onEnd(why: unknown): void;
}

/** Numbers the calls of a model in another thread, and dispatches the replies. */
export class ModelConnection {
  readonly #calls = new Map<number, Call>();
  #next = 0;
  #waiting = 0;
  #lost: RopewalkError | undefined;
  #released: Promise<void> | undefined;
  #ended: () => void = () => {};
  /** Stops the work for streams that were garbage-collected. */
  readonly #forgotten = new FinalizationRegistry<number>((id) => {
    if (this.#calls.delete(id)) this.#post({ type: 'cancel', id });
  });

  readonly #port: ModelPort;

  constructor(port: ModelPort) {
    this.#port = port;
    port.listen(
      (reply) => {
        const call = this.#calls.get(reply.id);
        if (reply.type === 'event') call?.onEvent(reply.name, reply.value);
        else call?.onReply(reply);
      },
      (why) => {
        this.#lost = why;
        this.#endAll(this.#released ? releasedError() : why);
        this.#ended();
      },
    );
    port.unref();
  }

  /** @param options functions in it become events of their names. */
  async call(method: CallName, subject: unknown, options: Abortable = {}): Promise<unknown> {
    const { signal, ...rest } = options;
    signal?.throwIfAborted();
    const { data, functions } = divide(rest);
    const id = this.#next++;
    let abort = () => {};
    const answer = new Promise<unknown>((resolve, reject) => {
      abort = () => {
        this.#post({ type: 'cancel', id });
        reject(signal?.reason);
      };
      this.#calls.set(id, {
        onReply: (reply) => {
          if (reply.type === 'done') resolve(reply.value);
          else if (reply.type === 'failed') reject(unpackError(reply.error));
        },
        onEvent: (name, value) => {
          try {
            functions[name]?.(value);
          } catch (error) {
            this.#post({ type: 'cancel', id });
            reject(error);
          }
        },
        onEnd: reject,
      });
    });
    const stopWaiting = onAbort(signal, abort);
    try {
      this.#send({ type: 'call', id, method, subject, options: data, events: Object.keys(functions) });
      return await this.#wait(answer);
    } finally {
      stopWaiting();
      this.#calls.delete(id);
    }
  }

  stream<T, R>(method: StreamName, subject: unknown, options: Abortable = {}): AsyncGenerator<T, R> {
    const id = this.#next++;
    const mark = {};
    const items = this.#items<T, R>(id, method, subject, options, mark);
    this.#forgotten.register(items, id, mark);
    return items;
  }

  async *#items<T, R>(
    id: number,
    method: StreamName,
    subject: unknown,
    { signal, ...options }: Abortable,
    mark: object,
  ): AsyncGenerator<T, R> {
    signal?.throwIfAborted();
    const inbox: Exclude<Reply, { type: 'event' }>[] = [];
    let failure: { readonly why: unknown } | undefined;
    let wake = () => {};
    const fail = (why: unknown) => {
      failure ??= { why };
      wake();
    };
    this.#calls.set(id, {
      onReply: (reply) => {
        inbox.push(reply);
        wake();
      },
      onEvent: () => {},
      onEnd: fail,
    });
    const stopWaiting = onAbort(signal, () => fail(signal?.reason));
    let finished = false;
    try {
      this.#send({ type: 'stream', id, method, subject, options, credit: AHEAD });
      for (let taken = 0; ; ) {
        if (inbox.length === 0 && !failure) {
          await this.#wait(
            new Promise<void>((resolve) => {
              wake = resolve;
            }),
          );
        }
        if (failure) throw failure.why;
        const reply = inbox.shift()!;
        finished = reply.type !== 'item';
        if (reply.type === 'failed') throw unpackError(reply.error);
        if (reply.type === 'done') return reply.value as R;
        yield reply.value as T;
        // One message for several pieces; the model never waits for it while the reader keeps up.
        if (++taken % (AHEAD / 2) === 0) this.#post({ type: 'credit', id, count: AHEAD / 2 });
      }
    } finally {
      stopWaiting();
      this.#calls.delete(id);
      // What the registry knows outlives every minor collection, and with it all that a stream refers to.
      this.#forgotten.unregister(mark);
      if (!finished) this.#post({ type: 'cancel', id });
    }
  }

  /** Ends the thread once what runs in it has stopped; pending calls are rejected. */
  release(): Promise<void> {
    this.#released ??= this.#wait(
      new Promise<void>((resolve) => {
        this.#ended = resolve;
        if (this.#lost) return resolve();
        this.#post({ type: 'release' });
        this.#endAll(releasedError());
      }),
    );
    return this.#released;
  }

  #endAll(why: RopewalkError): void {
    for (const call of this.#calls.values()) call.onEnd(why);
  }

  #send(request: Request): void {
    if (this.#released) throw releasedError();
    if (this.#lost) throw this.#lost;
    try {
      this.#port.post(request);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new RopewalkError(
        `the arguments cannot be sent to the model's thread (${why}); use plain values, or load the model with loadHere().`,
        { cause },
      );
    }
  }

  /** Sends a message that does not matter if the thread has ended. */
  #post(request: Request): void {
    if (!this.#lost) this.#port.post(request);
  }

  async #wait<T>(promise: Promise<T>): Promise<T> {
    if (this.#waiting++ === 0) this.#port.ref();
    try {
      return await promise;
    } finally {
      if (--this.#waiting === 0) this.#port.unref();
    }
  }
}

/** Splits options into data, which is sent, and functions of one argument, which stay and are called by events. */
function divide(options: object) {
  const entries = Object.entries(options);
  const functions = entries.filter(([, value]) => typeof value === 'function');
  return {
    data: Object.fromEntries(entries.filter(([, value]) => typeof value !== 'function')),
    functions: Object.fromEntries(functions) as Record<string, (value: unknown) => void>,
  };
}
