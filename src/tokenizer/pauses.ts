const PAUSE_EVERY_MS = 50;

/**
 * Runs long work to its end, with pauses for the event loop.
 *
 * @param work yields where it can pause
 * @throws the signal's reason once it is aborted
 */
export async function pausingSteps<T>(
  work: Generator<undefined, T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  let lastPause = performance.now();
  let step = work.next();
  while (!step.done) {
    if (performance.now() - lastPause > PAUSE_EVERY_MS) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      lastPause = performance.now();
    }
    signal?.throwIfAborted();
    step = work.next();
  }
  return step.value;
}
