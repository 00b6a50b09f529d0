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

/** Listens to a stream. */
export interface StreamListener {
  /** The client has left. */
  onLeave(): void;
  /** Called once: when the last event has been read, the source has failed, or the client has left. */
  onEnd(failure?: { readonly error: unknown }): void;
}

/**
 * A response of server-sent events, created as they are read; if the client leaves, their source is closed. An error
 * becomes an event, since the status has already been sent.
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
