/** Optimizers, and the arrays they work on. */

export { Adafactor, type AdafactorOptions } from './adafactor.ts';
export { AdamW, type AdamWOptions } from './adamw.ts';
export type {
  OptimizedParameter,
  Optimizer,
  OptimizerState,
  ParameterShape,
  Range,
  StateTensor,
  StepSettings,
} from './optimizer-common.ts';
export { Sgd } from './sgd.ts';
export { allocateTrainable, type Trainable } from './trainable.ts';
