import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/*
 * How much work something is, and waiting for what will happen. Neither reads the time of day: on a busy machine time
 * passes without any work being done.
 */

/** Seconds of processor time, of all threads of this process, that `work` takes. */
export function cpuSeconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/** As `cpuSeconds`, of work that waits in between. */
export async function cpuSecondsAsync(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/** Milliseconds of processor time of the calling thread alone. Undefined where the system does not tell. */
export function threadCpuMilliseconds(): number | undefined {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]) / 1e6;
  } catch {
    return undefined;
  }
}

/** Waits until something is so. Throws, naming it, where it has not come about in two minutes. */
export async function until(met: () => boolean, what: string): Promise<void> {
  for (let tries = 0; !met(); tries++) {
    if (tries === 12_000) throw new Error(`did not come about: ${what}`);
    await sleep(10);
  }
}
