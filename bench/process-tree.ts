import { readdirSync, readFileSync } from 'node:fs';

/** Process information from Linux; zeros and empty lists elsewhere. */

/** A process and all its descendants. */
export function processTree(pid: number): number[] {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    const children = tasks.flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
    return [pid, ...children.flatMap(processTree)];
  } catch {
    return []; // it has ended
  }
}

/** Bytes from a line of /proc/PID/status: `VmRSS` is a process's current memory, `VmHWM` its peak. */
export function memoryOf(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  return kilobytes(`/proc/${pid}/status`, field);
}

/** Bytes of memory available without swapping. */
export function availableMemory(): number {
  return kilobytes('/proc/meminfo', 'MemAvailable');
}

function kilobytes(file: string, field: string): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(read(file))?.[1];
  return Number(found ?? 0) * 1024;
}

/** Processor time, in the system's ticks. */
export interface Ticks {
  /** Of all processes on all cores. */
  readonly busy: number;
  /** Busy or idle. */
  readonly all: number;
  /** Of this process and its descendants. */
  readonly ours: number;
}

/** @param pids of processes that do not count as others. */
export function processorTicks(pids: readonly number[]): Ticks {
  const fields = read('/proc/stat').split('\n')[0]!.trim().split(/\s+/).slice(1, 9).map(Number);
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, hard = 0, soft = 0, stolen = 0] = fields;
  const busy = user + nice + system + hard + soft + stolen;
  const ours = pids.reduce((sum, pid) => sum + ticksOf(pid), 0);
  return { busy, all: busy + idle + wait, ours };
}

/** Ticks per second, the same on all Linux systems. */
const TICKS = 100;

/** Processor time of a process and its descendants so far, in seconds, over all cores. */
export function processorSeconds(pid: number): number {
  return ticksOf(pid) / TICKS;
}

function ticksOf(root: number): number {
  return processTree(root).reduce((sum, pid) => {
    // After the name, which may contain anything: state is the first field, then user and system time 12th and 13th.
    const own = read(`/proc/${pid}/stat`).split(') ').at(-1)!.split(' ');
    return sum + Number(own[11] ?? 0) + Number(own[12] ?? 0);
  }, 0);
}

/** The share of the machine's processors that other processes used between two moments. */
export function shareOfOthers(before: Ticks, after: Ticks): number {
  const others = after.busy - before.busy - (after.ours - before.ours);
  return Math.max(0, others) / Math.max(1, after.all - before.all);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
