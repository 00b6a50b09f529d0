import { ApiError } from './api-error.ts';

/** An event of a stream: data, and in some APIs a name. */
export interface StreamEvent {
  readonly event?: string;
  readonly data: unknown;
}

const encoder = new TextEncoder();

function encode({ event, data }: StreamEvent): Uint8Array {
  const text = typeof data === 'string' ? data : JSON.stringify(data);
  return encoder.encode(`${event === undefined ? '' : `event: ${event}\n`}data: ${text}\n\n`);
}

/** What is told of a stream. */
export interface StreamListener {
  /** The client has left. */
  onLeave(): void;
  /** The last event has been read, or what makes them has failed, or the client has left: called once. */
  onEnd(failure?: { readonly error: unknown }): void;
}

/**
 * A response of server-sent events. They are made as they are read; whoever leaves ends what makes them. What fails on the
 * way is an event with the error, since the status has been sent.
 */
export function eventStream(
  events: AsyncGenerator<StreamEvent, void>,
  { onLeave, onEnd }: StreamListener,
): Response {
  let left = false;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await events.next();
        if (left) return;
        if (!done) {
          controller.enqueue(encode(value));
          return;
        }
        onEnd();
      } catch (error) {
        if (left) return;
        onEnd({ error });
        const told = error instanceof ApiError ? error : new ApiError(500, 'something went wrong here.');
        controller.enqueue(encode({ data: told.body }));
      }
      controller.close();
    },
    async cancel() {
      left = true;
      onLeave();
      await events.return().catch(() => {});
      onEnd();
    },
  });
  return new Response(body, {
    headers: {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
    },
  });
}
