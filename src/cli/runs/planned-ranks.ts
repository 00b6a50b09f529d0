import { InvalidArgumentError, Option } from 'commander';
import { RopewalkError } from '../../errors.ts';
import type { Communicator } from '../../ranks/communicator.ts';
import { PlannedRanks } from '../../ranks/planned.node.ts';
import type { Network } from '../../training/parallel/step-time.ts';
import { bitRate, count, shortTime } from '../options/options.ts';

/*
 * Flags of a dry run for processes that are not started.
 */

export interface PlannedFlags {
  readonly dryRun?: boolean;
  readonly ranks?: number;
  /** Bits per second. */
  readonly bandwidth?: number;
  /** Seconds. */
  readonly latency?: number;
}

/** A message's way between machines of one rack, over TCP. */
const WITHIN_A_RACK = 50e-6;

export const RANKS = new Option(
  '--ranks <n>',
  'with --dry-run: plan for n processes of an MPI job, one on each machine',
).argParser(ranksOf);
export const BANDWIDTH = new Option(
  '--bandwidth <rate>',
  'with --ranks: speed of the links between them, such as 10Gb/s',
).argParser(bitRate);
export const LATENCY = new Option(
  '--latency <time>',
  'with --bandwidth: time that a message takes, such as 50us (default: 50us)',
).argParser(shortTime);

function ranksOf(text: string): number {
  const ranks = count(text);
  if (ranks < 2) throw new InvalidArgumentError('Give at least 2.');
  return ranks;
}

/** The ranks and links that are only planned for. @throws RopewalkError for flags that do not go together. */
export function plannedOf(
  { dryRun, ranks, bandwidth, latency }: PlannedFlags,
  started: Communicator | undefined,
): { readonly ranks?: Communicator; readonly network?: Network } {
  if (ranks === undefined && bandwidth === undefined && latency === undefined) return {};
  if (!dryRun) {
    throw new RopewalkError(
      '--ranks, --bandwidth and --latency plan for processes that are not started; use them with --dry-run, or start the processes: mpirun -n N npx ropewalk …',
    );
  }
  if (started) {
    throw new RopewalkError(
      `this plans for the ${started.size} processes that are started; leave out --ranks, --bandwidth and --latency, or start one process.`,
    );
  }
  if (ranks === undefined) throw new RopewalkError('--bandwidth and --latency need --ranks N.');
  if (bandwidth === undefined) {
    if (latency !== undefined) throw new RopewalkError('--latency needs --bandwidth, such as 10Gb/s.');
    return { ranks: new PlannedRanks(ranks) };
  }
  return { ranks: new PlannedRanks(ranks), network: { bandwidth, latency: latency ?? WITHIN_A_RACK } };
}
