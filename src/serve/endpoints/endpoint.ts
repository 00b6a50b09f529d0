import type { CompletionJob, Jobs } from '../jobs.ts';
import { eventStream, type StreamEvent } from '../sse.ts';

/** What an endpoint receives in addition to the checked body. */
export interface Call {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly jobs: Jobs;
  readonly signal: AbortSignal;
  readonly client: string;
  /** Whether the answer is streamed. */
  readonly streams: boolean;
  /** Adds fields to the request's log entry. */
  note(fields: Readonly<Record<string, unknown>>): void;
  /** Called when the last event of a stream has been read, or the client has left. */
  onStreamEnd(): void;
  onError(error: unknown): void;
}

/** A random seed, if the client gives none. */
export function anySeed(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2)) as unknown as [number, number];
  return (high >>> 11) * 2 ** 32 + low;
}

/** The seed of a choice: the request's seed plus the choice's number. */
export function seedOf(seed: number | null | undefined, choice: number, fallback: number): number {
  const first = seed ?? fallback;
  const next = first + choice;
  return Number.isSafeInteger(next) ? next : first - choice;
}

/** Streams a job's events, and logs its usage at the end. */
export function streamed(
  call: Call,
  job: CompletionJob,
  events: AsyncGenerator<StreamEvent, void>,
): Response {
  return eventStream(events, {
    onLeave() {
      call.note({ error: 'client_left' });
      job.abandon();
    },
    onEnd(failure) {
      if (failure) call.onError(failure.error);
      noteUsage(call, job);
      call.onStreamEnd();
    },
  });
}

export function noteUsage(call: Call, { usage }: CompletionJob): void {
  call.note({
    prompt_tokens: usage.promptTokens,
    cached_tokens: usage.cachedTokens,
    completion_tokens: usage.newTokens,
  });
}

/** Usage in OpenAI's format. */
export function usageOf({ usage }: CompletionJob) {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.newTokens,
    total_tokens: usage.promptTokens + usage.newTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedTokens },
  };
}
