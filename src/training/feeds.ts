import type { TrainingRows } from '../batches.ts';
import type { HostTensor } from '../runtime/executable.ts';
import { PACKING_INPUTS, type SequenceShape } from './graph.ts';

/** The number of targets that count. */
export function countOf({ inputs, weights }: TrainingRows): number {
  return weights ? weights.reduce((sum, weight) => sum + weight, 0) : inputs.length;
}

/** The feeds of the rows' context: their ids and, if they are packed, positions and text indices. */
export function contextFeeds({ inputs, positions, segments }: TrainingRows, { seq, packed }: SequenceShape) {
  const rows = inputs.length;
  const feeds: Record<string, HostTensor> = { input_ids: { data: inputs, shape: [rows] } };
  if (packed) {
    const inRow = () => Int32Array.from({ length: rows }, (_, i) => i % seq);
    feeds[PACKING_INPUTS.positions] = { data: positions ?? inRow(), shape: [rows] };
    feeds[PACKING_INPUTS.segments] = { data: segments ?? new Float32Array(rows), shape: [rows] };
  }
  return feeds;
}

/** The feeds of a loss. @param factor of every row's weight: 1 / count for a mean. */
export function lossFeeds({ inputs, targets, weights, extra }: TrainingRows, factor: number) {
  const rows = inputs.length;
  const scaled = weights?.map((weight) => weight * factor) ?? new Float32Array(rows).fill(factor);
  const feeds: Record<string, HostTensor> = {
    targets: { data: targets, shape: [rows] },
    weights: { data: scaled, shape: [rows] },
    ...extra,
  };
  return feeds;
}
