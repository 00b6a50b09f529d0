import { RopewalkError } from '../errors.ts';
import type { Communicator } from './communicator.ts';

/** An error that every rank knows about: its cause. */
export class SharedError extends Error {}

/**
 * Runs what every rank does before joint work, such as reading data.
 *
 * @param textOf an error's text on other ranks.
 * @throws SharedError on all ranks if any of them fails, with the error of the first one.
 */
export async function together<T>(
  ranks: Communicator | undefined,
  action: () => Promise<T>,
  textOf: (error: unknown) => string = messageOf,
): Promise<T> {
  if (!ranks) return action();
  const done = await action().then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  const problems = await ranks.gather('error' in done ? textOf(done.error) : '');
  const failed = problems.findIndex((problem) => problem !== '');
  if (failed < 0 && 'value' in done) return done.value;
  const common = problems.every((problem) => problem === problems[failed]);
  const cause =
    common && 'error' in done
      ? done.error
      : new RopewalkError(`rank ${failed} of ${ranks.size}: ${problems[failed]}`);
  throw new SharedError('a rank failed', { cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
