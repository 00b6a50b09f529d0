import { availableParallelism, cpus } from 'node:os';
import type { Communicator } from './communicator.ts';

/** This machine's cores for each of its ranks, and no more than the launcher bound this process to. */
export function coresPerRank({ localSize }: Communicator): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(cpus().length / localSize)));
}
