import type { Learner } from '../../src/training/learner.ts';
import {
  type CreateOptimizerOptions,
  createOptimizer,
  OPTIMIZER_STATES,
  OPTIMIZERS,
  type SizedOptimizer,
} from '../../src/training/optimizers/create-optimizer.ts';

/** An optimizer that sums the time of its steps. */
export interface TimedOptimizer extends SizedOptimizer {
  seconds: number;
}

/**
 * The optimizer for a name such as `adamw:float32`, with the type of the states, or `sgd`; AdamW decays matrices by
 * 0.01.
 */
export function namedOptimizer({ parameters }: Learner, name: string): TimedOptimizer {
  const [wantedKind, wantedStates] = name.split(':');
  const kind = OPTIMIZERS.find((each) => each === wantedKind);
  const states = OPTIMIZER_STATES.find((each) => each === wantedStates);
  if (!kind || (wantedStates !== undefined && !states)) {
    throw new Error(`no optimizer ${name}: there are ${OPTIMIZERS}, with states ${OPTIMIZER_STATES}`);
  }
  const options: CreateOptimizerOptions = {
    ...(states && { states }),
    ...(kind === 'adamw' && { weightDecay: 0.01 }),
  };
  const optimizer = createOptimizer(kind, parameters, options);
  const step = optimizer.step.bind(optimizer);
  const timed: TimedOptimizer = Object.assign(optimizer, {
    seconds: 0,
    step(...given: Parameters<typeof step>) {
      const started = performance.now();
      step(...given);
      timed.seconds += (performance.now() - started) / 1000;
    },
  });
  return timed;
}
