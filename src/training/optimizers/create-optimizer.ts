import { RopewalkError } from '../../errors.ts';
import { Adafactor, type AdafactorOptions } from './adafactor.ts';
import { AdamW, type AdamWOptions } from './adamw.ts';
import type { Optimizer, ParameterShape } from './optimizer-common.ts';
import { Sgd } from './sgd.ts';

export { OPTIMIZER_STATES, type OptimizerStates } from './adamw.ts';

export const OPTIMIZERS = ['adamw', 'adafactor', 'sgd'] as const;
export type OptimizerKind = (typeof OPTIMIZERS)[number];

/** Options of all kinds; each kind takes those that it has. */
export type CreateOptimizerOptions = AdamWOptions & AdafactorOptions;

/** An optimizer that says how much memory its state takes. */
export interface SizedOptimizer extends Optimizer {
  /** Bytes of state for each weight, on average. */
  readonly bytesPerParameter: number;
}

/** Means, which every kind takes and uses where it has a use: memory for large states, a seed for rounding them. */
const MEANS: readonly (keyof CreateOptimizerOptions)[] = ['memory', 'seed'];

const OPTIONS: Readonly<Record<OptimizerKind, readonly (keyof CreateOptimizerOptions)[]>> = {
  adamw: ['states', 'betas', 'eps', 'weightDecay', 'decays'],
  adafactor: ['beta2Decay', 'epsilons', 'clipThreshold', 'weightDecay', 'decays'],
  sgd: [],
};

/**
 * What each keeps and costs, measured on one core per 16.8 million weights, with the gradients beside the weights (or on
 * other memory):
 *
 * | kind, states      | bytes a weight | ms      | against float32 arithmetic                          |
 * |-------------------|----------------|---------|-----------------------------------------------------|
 * | `sgd`             | 0              | 4 (7)   | the same                                            |
 * | `adamw` float32   | 8              | 10 (22) | PyTorch's, to the last digits                       |
 * | `adamw` bfloat16  | 4              | 15 (25) | steps differ by 2 %, without a drift                |
 * | `adamw` int8      | 2.03           | 33 (41) | steps differ by 15 %, without a drift               |
 * | `adafactor`       | about 0        | 38      | PyTorch's Adafactor; no momentum, relative steps    |
 *
 * @param parameters those that will be updated, best a training engine's own: states lie beside their values then, as
 *   far as there is room.
 * @throws RopewalkError for an option that this kind of optimizer does not have.
 */
export function createOptimizer(
  kind: OptimizerKind,
  parameters: readonly ParameterShape[],
  options: CreateOptimizerOptions = {},
): SizedOptimizer {
  const known = OPTIONS[kind];
  if (!known) {
    throw new RopewalkError(`there is no optimizer "${String(kind)}"; there are ${OPTIMIZERS.join(', ')}.`);
  }
  for (const name of Object.keys(options) as (keyof CreateOptimizerOptions)[]) {
    if (options[name] !== undefined && !known.includes(name) && !MEANS.includes(name)) {
      const others = OPTIMIZERS.filter((other) => OPTIONS[other].includes(name));
      throw new RopewalkError(
        `${kind} has no option "${name}"; leave it out${others.length > 0 ? `, or choose ${others.join(' or ')}` : ''}.`,
      );
    }
  }
  switch (kind) {
    case 'adamw':
      return new AdamW(parameters, options);
    case 'adafactor':
      return new Adafactor(parameters, options);
    case 'sgd':
      return new Sgd();
  }
}
