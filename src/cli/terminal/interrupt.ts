/**
 * Ctrl-C (or a polite kill) once: the signal aborts, and long work saves and ends. A second time ends at once: what is
 * on disk is whole at every moment.
 */
export function interruptSignal(onFirst: () => void): { signal: AbortSignal; dispose: () => void } {
  const controller = new AbortController();
  const handler = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
    onFirst();
  };
  process.on('SIGINT', handler);
  process.on('SIGTERM', handler);
  const dispose = () => {
    process.off('SIGINT', handler);
    process.off('SIGTERM', handler);
  };
  return { signal: controller.signal, dispose };
}

/** Whether an error only says that a signal was aborted, as Ctrl-C does. */
export function isInterruption(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** What shells expect from a program that ended because it was interrupted. */
export const INTERRUPTED = 130;
