import { readFileSync } from 'node:fs';
import { errorCode } from './file-errors.ts';

/**
 * Whether a process of this machine runs. One that has ended and waits until its parent collects it does not, although its number
 * is still taken: a parent that was killed too leaves that to the system, which may take its time.
 */
export function isProcessRunning(pid: number): boolean {
  const state = fieldsOf(pid)?.[0];
  if (state !== undefined) return state !== 'Z' && state !== 'X';
  try {
    process.kill(pid, 0); // Signal 0 only checks whether the process exists.
    return true;
  } catch (error) {
    // Another user's process also exists.
    return errorCode(error) !== 'ESRCH';
  }
}

/** When a process started, in ticks since boot; undefined without /proc. */
export function beginning(pid: number): string | undefined {
  return fieldsOf(pid)?.[19];
}

/** The fields of proc(5)'s stat from the state on, the third of them. Undefined without /proc. */
function fieldsOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name before it is in parentheses, and may contain parentheses itself.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
