import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import type { Machine } from './plan.ts';

/** The memory of this machine, or of the container that limits this process. */
export function thisMachine(): Machine {
  const bound = process.constrainedMemory();
  const isBound = bound > 0 && bound < totalmem();
  const available = systemAvailable();
  return {
    totalMemory: isBound ? bound : totalmem(),
    availableMemory: isBound ? Math.min(available, bound - process.memoryUsage.rss()) : available,
  };
}

/** What is available without swapping: Linux knows how much of its caches it could free. */
function systemAvailable(): number {
  try {
    const [, kibibytes] = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8')) ?? [];
    if (kibibytes !== undefined) return 1024 * Number(kibibytes);
  } catch {
    // Not Linux.
  }
  return freemem();
}
