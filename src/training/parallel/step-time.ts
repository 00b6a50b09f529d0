import type { Shard } from './shard.ts';

/** The links between machines, one rank on each. */
export interface Network {
  /** Of a machine's link in each direction, in bits per second. */
  readonly bandwidth: number;
  /** From a message's start until its first byte arrives, in seconds. */
  readonly latency: number;
}

/** What communication costs in a step. */
export interface Communication {
  /** Bytes that a rank sends in a step. */
  readonly bytes: number;
  /** Messages that a rank sends one after another: each costs the latency. */
  readonly messages: number;
}

/** Data on a link: TCP over Ethernet carries 1,448 bytes in every 1,538 (MTU 1,500). */
const WIRE_SHARE = 1448 / 1538;

/**
 * Bytes per second that one process sends while it receives as many, packs them and adds them up, on links of any speed.
 * Measured over TCP between two processes on the two cores of an AMD EPYC (Zen 5), otherwise idle: `verify/ranks-hosts.ts`.
 */
const PROCESS_BYTES = 0.73e9;

/**
 * Messages in a row: each reduce-scatter and each all-gather sends N - 1. Gradients are scattered and weights (or the
 * sums) gathered once in a step; where weights are sharded, each block is gathered for the forward and for the backward
 * pass, and scattered.
 */
export function stepMessages(shard: Shard, ranks: number, blocks: number): number {
  return (shard === 'all' ? 3 * blocks : 2) * (ranks - 1);
}

/**
 * The time that a step spends on communication, in seconds: latency per message and time per byte, as for the pairwise
 * exchange and ring algorithms in Thakur, Rabenseifner and Gropp, "Optimization of Collective Communication Operations in
 * MPICH" (2005), section 4: (N - 1) α + (N - 1) / N n β for each reduce-scatter and each all-gather. Packing and adding
 * happen while other pieces travel, so that the slower of link and process counts. Overlap with computation is not
 * subtracted.
 */
export function communicationSeconds(
  { bytes, messages }: Communication,
  { bandwidth, latency }: Network,
): number {
  return messages * latency + bytes / Math.min((WIRE_SHARE * bandwidth) / 8, PROCESS_BYTES);
}

/** The share of a step in which the ranks compute: 1 is as many times one rank's speed as there are ranks. */
export function efficiency(computing: number, communicating: number): number {
  return computing / (computing + communicating);
}
