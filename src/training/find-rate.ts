import type { BatchSource, TrainingRows } from '../batches.ts';
import { RopewalkError } from '../errors.ts';
import { NotFiniteError } from './finite.ts';
import type { Learner } from './learner.ts';
import { LossScaleError } from './loss-scale.ts';
import type { Optimizer } from './optimizers/optimizer.ts';

export interface RateSearch {
  /** Learning rates increase geometrically from the first to the last. Default 1e-7 and 1. */
  readonly from?: number;
  readonly to?: number;
  /** Default 100. */
  readonly steps?: number;
  /** Micro-batches per step. Default 1. */
  readonly accumulate?: number;
  readonly clip?: number;
}

export interface RatePoint {
  readonly learningRate: number;
  readonly loss: number;
  /** Exponential moving average of the losses so far, bias-corrected. */
  readonly smoothed: number;
}

/** Weight of the previous losses in the smoothed loss. */
const KEEP = 0.95;
/** The search ends when the smoothed loss exceeds its lowest value by this factor. */
const MOST = 1.5;

/**
 * The learning-rate range test (Smith 2017, arXiv:1506.01186): trains while the rate increases exponentially, and
 * records the loss. The model is unusable afterwards.
 */
export async function* searchRate(
  { learner, training, optimizer }: { learner: Learner; training: BatchSource; optimizer: Optimizer },
  search: RateSearch = {},
  signal?: AbortSignal,
): AsyncGenerator<RatePoint, void> {
  const { from = 1e-7, to = 1, steps = 100, accumulate = 1, clip = 0 } = search;
  if (!(from > 0 && to > from)) {
    throw new RopewalkError(`the rates to try go from ${from} to ${to}; they must increase, from above 0.`);
  }
  let mean = 0;
  let lowest = Number.POSITIVE_INFINITY;
  for (let step = 0; step < steps && !signal?.aborted; step++) {
    const learningRate = from * (to / from) ** (step / Math.max(1, steps - 1));
    const batches: TrainingRows[] = [];
    while (batches.length < accumulate) batches.push(await training.next());
    let loss: number;
    try {
      ({ loss } = await learner.step(batches, { optimizer, learningRate, clip }));
    } catch (error) {
      if (error instanceof NotFiniteError || error instanceof LossScaleError) return; // far beyond a usable rate
      throw error;
    }
    // A step that float16 does not hold was skipped.
    if (!Number.isFinite(loss)) return;
    mean = KEEP * mean + (1 - KEEP) * loss;
    const smoothed = mean / (1 - KEEP ** (step + 1));
    yield { learningRate, loss, smoothed };
    lowest = Math.min(lowest, smoothed);
    if (smoothed > MOST * lowest) return;
  }
}

/**
 * The rate at which the smoothed loss fell fastest, from a line through a few neighbors over log(rate): a candidate
 * for the peak rate.
 *
 * @returns undefined if the loss never fell.
 */
export function suggestRate(points: readonly RatePoint[]): number | undefined {
  const lowest = points.reduce((best, { smoothed }, i) => (smoothed < points[best]!.smoothed ? i : best), 0);
  const reach = Math.max(2, Math.floor(points.length / 20));
  let steepest = 0;
  let found: number | undefined;
  for (let i = reach; i + reach < points.length && i <= lowest; i++) {
    const slope = slopeOf(points.slice(i - reach, i + reach + 1));
    if (slope < steepest) {
      steepest = slope;
      found = points[i]!.learningRate;
    }
  }
  return found;
}

/** Slope by least squares. */
function slopeOf(points: readonly RatePoint[]): number {
  const xs = points.map(({ learningRate }) => Math.log(learningRate));
  const meanX = xs.reduce((sum, x) => sum + x, 0) / xs.length;
  const meanY = points.reduce((sum, { smoothed }) => sum + smoothed, 0) / xs.length;
  let [above, below] = [0, 0];
  points.forEach(({ smoothed }, i) => {
    above += (xs[i]! - meanX) * (smoothed - meanY);
    below += (xs[i]! - meanX) ** 2;
  });
  return above / below;
}
