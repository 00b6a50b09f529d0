import {
  createOptimizer,
  type OptimizerKind,
  type OptimizerStates,
} from '../../src/training/create-optimizer.ts';
import type { TrainingEngine } from '../../src/training/engine.ts';
import type { AdamWOptions, Optimizer, OptimizerState } from '../../src/training/optimizer.ts';

/** An optimizer that adds up the time of its steps. */
export interface TimedOptimizer extends Optimizer {
  seconds: number;
}

/** Of a name such as `adamw:float32` or `sgd`. @param options AdamW's alone. */
export function namedOptimizer(engine: TrainingEngine, name: string, options: AdamWOptions): TimedOptimizer {
  const [kind, states] = name.split(':') as [OptimizerKind, OptimizerStates?];
  const settings = kind === 'adamw' ? { ...options, ...(states && { states }) } : {};
  return timed(createOptimizer(kind, engine.parameters, settings));
}

function timed(optimizer: Optimizer): TimedOptimizer {
  return {
    seconds: 0,
    step(parameters, settings) {
      const started = performance.now();
      optimizer.step(parameters, settings);
      this.seconds += (performance.now() - started) / 1000;
    },
    state: (): OptimizerState => optimizer.state(),
    restore: (state) => optimizer.restore(state),
  };
}
