import { RopewalkError } from '../errors.ts';
import { sleep } from '../files/sleep.ts';

/**
 * A failed request: `final` if retrying cannot help; `passing` if it may (a broken connection, a busy server);
 * `unreachable` if nothing answers, which rarely changes within seconds.
 */
export class RequestError extends RopewalkError {
  readonly kind: 'final' | 'passing' | 'unreachable';
  /** The delay that the server requested, in milliseconds. */
  readonly waitMs: number | undefined;
  /** The status of the server's answer, if there was one. */
  readonly status: number | undefined;

  constructor(
    message: string,
    kind: RequestError['kind'],
    details: { waitMs?: number | undefined; status?: number; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.kind = kind;
    this.waitMs = details.waitMs;
    this.status = details.status;
  }
}

/** Timeouts and delays in milliseconds. */
export interface Timing {
  /** A connection without data for this long is aborted. */
  readonly idleMs: number;
  /** The delay before the second try; it doubles with every further one, up to 30 times this. */
  readonly backoffMs: number;
  /** The longest delay that a server may request. */
  readonly longestWaitMs: number;
}

const TRIES: Readonly<Record<RequestError['kind'], number>> = { final: 1, unreachable: 3, passing: 6 };

/**
 * Retries until the request succeeds, fails permanently, or fails too often without progress.
 * @param progress a number that grows when a failed try made progress
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  { backoffMs, longestWaitMs }: Timing,
  { signal, progress = () => 0 }: { signal?: AbortSignal | undefined; progress?: () => number },
): Promise<T> {
  let failures = 0;
  let best = progress();
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof RequestError)) throw error;
      if (progress() > best) failures = 0;
      best = Math.max(best, progress());
      failures++;
      if (failures >= TRIES[error.kind]) throw error;
      const backoff = backoffMs * Math.min(30, 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
      await sleep(Math.min(longestWaitMs, error.waitMs ?? backoff), signal);
    }
  }
}

/** `Retry-After` in milliseconds from `now`: seconds, or a date (RFC 9110, 10.2.3). Undefined for neither. */
export function retryAfter(value: string | null, now = Date.now()): number | undefined {
  if (value === null) return undefined;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
