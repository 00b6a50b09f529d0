import { HostMemory } from '../../src/runtime/host-memory.ts';
import type { TrainingEngine } from '../../src/training/engine.ts';
import {
  AdamW,
  type AdamWOptions,
  type Moments,
  type Optimizer,
  type OptimizerState,
  Sgd,
} from '../../src/training/optimizer.ts';

/** An optimizer that adds up the time of its steps. */
export interface TimedOptimizer extends Optimizer {
  seconds: number;
}

/** Of a name such as `adamw:float32` or `sgd`. */
export function namedOptimizer(engine: TrainingEngine, name: string, options: AdamWOptions): TimedOptimizer {
  if (name === 'adamw:float32') return timed(adamw(engine, options));
  if (name === 'sgd') return timed(new Sgd());
  throw new Error(`there is no optimiser ${name}; there are adamw:float32 and sgd`);
}

/** AdamW for an engine's parameters. Its moments are the engine's where that has some beside the gradients. */
function adamw({ parameters }: TrainingEngine, options: AdamWOptions): AdamW {
  const memory = new HostMemory();
  const moments = parameters.map((parameter): Moments => {
    if ('m' in parameter && 'v' in parameter) return parameter as unknown as Moments;
    const { length } = parameter.value;
    const [m, v] = memory.allocGroup([length, length]) as [Float32Array, Float32Array];
    return { ...parameter, m, v };
  });
  return new AdamW(moments, options);
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
