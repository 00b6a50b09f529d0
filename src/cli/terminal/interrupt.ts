/**
 * Handles Ctrl-C (or SIGTERM). The first time, the signal aborts, so that long work saves and ends. The second time,
 * the process exits at once: files are complete at every moment.
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

/** Whether an error only reports an aborted signal, as from Ctrl-C. */
export function isInterruption(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** The exit code that shells expect from an interrupted program. */
export const INTERRUPTED = 130;
