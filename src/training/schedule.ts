import { RopewalkError } from '../errors.ts';

/**
 * How the learning rate moves. `warmupSteps` (default 0) climb in a line from 0; then it stays (`constant`), or falls
 * along half a cosine (`cosine`; Loshchilov and Hutter, 2017) or a line (`linear`) until `totalSteps`, warm-up
 * included, to `minimumRatio` (default 0) of the peak, where it remains.
 */
export type ScheduleSettings =
  | { readonly kind: 'constant'; readonly learningRate: number; readonly warmupSteps?: number }
  | {
      readonly kind: 'cosine' | 'linear';
      /** The peak, reached at the end of the warm-up. */
      readonly learningRate: number;
      readonly totalSteps: number;
      readonly warmupSteps?: number;
      readonly minimumRatio?: number;
    };

/** Learning rate of the step that follows `step` finished ones: the first is schedule(0). */
export type Schedule = (step: number) => number;

/**
 * A schedule as a pure function of the step. The values are those of transformers' get_constant_schedule_with_warmup,
 * get_cosine_with_min_lr_schedule_with_warmup and get_linear_schedule_with_warmup: with a warm-up, schedule(0) is 0.
 *
 * @throws RopewalkError when a setting is out of range.
 */
export function createSchedule(settings: ScheduleSettings): Schedule {
  const { kind, learningRate, warmupSteps = 0 } = settings;
  if (!(Number.isFinite(learningRate) && learningRate >= 0)) {
    throw new RopewalkError(`schedule: learningRate is ${learningRate}; give a number of 0 or more.`);
  }
  checkCount('warmupSteps', warmupSteps);
  const warmup = (step: number) => step / warmupSteps;
  if (kind === 'constant') return (step) => learningRate * (step < warmupSteps ? warmup(step) : 1);

  const { totalSteps, minimumRatio = 0 } = settings;
  checkCount('totalSteps', totalSteps);
  if (totalSteps < warmupSteps) {
    throw new RopewalkError(
      `schedule: warmupSteps is ${warmupSteps}, more than totalSteps, ${totalSteps}; warm up for fewer steps.`,
    );
  }
  if (!(minimumRatio >= 0 && minimumRatio <= 1)) {
    throw new RopewalkError(`schedule: minimumRatio is ${minimumRatio}; give a number from 0 to 1.`);
  }
  const shape =
    kind === 'cosine'
      ? (progress: number) => 0.5 * (1 + Math.cos(Math.PI * progress))
      : (progress: number) => 1 - progress;
  const decaySteps = Math.max(1, totalSteps - warmupSteps);
  return (step) => {
    if (step < warmupSteps) return learningRate * warmup(step);
    const progress = Math.min(1, (step - warmupSteps) / decaySteps);
    return learningRate * (minimumRatio + (1 - minimumRatio) * shape(progress));
  };
}

function checkCount(name: string, count: number): void {
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new RopewalkError(`schedule: ${name} is ${count}; give a whole number, 0 or more.`);
  }
}
